"""Stand-in: the source distribution lacks this folder."""


class GenerationTesterMixin:
    pass
