"""Stand-in: the source distribution lacks this file, and the fixtures that it fetches are on the Hub."""


def url_to_local_path(url: str) -> str:
    return url
