"""The request for an adapter, which no test makes."""


class LoRARequest:
    """An adapter's name, number and path."""

    def __init__(self, name: str, number: int, path: str) -> None:
        self.name, self.number, self.path = name, number, path
