"""Tools around the engine: check, doctor, evaluate, catalogue, reference scores, templates.

`check` and `doctor` train an agent on an environment, to see that training works. Which ones is a
choice of these tools: the agent that the suite is about, and an environment that is soon solved.
"""

AGENT, ENVIRONMENT = "eggroll", "CartPole-v1"
