"""Stand-in: the source distribution lacks this folder."""


class ExportTesterMixin:
    pass
