# pandas ships types that are inferred from its code and too wide to check against (each column of a
# frame may be a frame). Here, whatever comes from pandas is left unchecked instead.
from typing import Any

def __getattr__(name: str) -> Any: ...
