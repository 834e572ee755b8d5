"""Who can be timed, besides the suite's own agents."""

BARE, INFERENCE, EVOSAX = "bare", "inference", "evosax"

# A generation without noise, shaping and update.
FLOORS = {
    BARE: "the environment under a fixed action",
    INFERENCE: "the unperturbed policy, shared by all members: pure batch inference",
}
# Other libraries, on the same network, population and steps.
PEERS = {EVOSAX: "Open_ES of evosax (extra `peers`)"}
