"""What can go wrong between this computer and the hub, in words."""

from __future__ import annotations

from app.core import words
from app.core.errors import AppError, BadModelFile


class HubError(AppError):
    """The hub did not do what was asked."""

    passing = False
    """Whether another try a little later makes sense."""
    wait = 0.0
    """Seconds that the hub wants to be left alone before."""


class Offline(HubError):
    """The hub cannot be reached."""


class AccessDenied(HubError):
    """The hub wants to know who asks, or says no."""


class NotOnHub(BadModelFile):
    """There is no such model, revision or file."""


class TooManyRequests(HubError):
    """The hub asks for patience."""

    passing = True


class ServerTrouble(HubError):
    """A failure on the other side."""

    passing = True


class DamagedDownload(HubError):
    """What arrived is not what the hub has."""


def offline(host: str, details: str) -> Offline:
    """No connection, or none that lasts."""
    return Offline(
        f"{host} cannot be reached.",
        "Check the internet connection, then try again. Models on this computer work without it.",
        details,
    )


def switched_off() -> HubError:
    """The user, or whoever set up this computer, does not want requests."""
    return HubError(
        "Going online is switched off on this computer (HF_HUB_OFFLINE).",
        "Remove that setting to search and download; models on this computer work without it.",
    )


def sign_in(host: str, repo: str, *, hidden: bool) -> AccessDenied:
    """A model for people that the hub knows; nobody has signed in.

    Args:
        host: Address of the hub.
        repo: The model.
        hidden: Whether the hub does not even say that it exists.
    """
    steps = (
        f"1. Sign in at {host} and open {host}/{repo}. "
        "2. Agree to its terms there, if it asks for that. "
        f'3. Make an access token of the kind "Read" at {host}/settings/tokens. '
        "4. Give the token to Nibble (command: nibble token), and try again."
    )
    if hidden:
        return AccessDenied(
            f"There is no model called {repo}, or it is private.",
            f"Check the spelling; capital letters count. For a private model: {steps}",
        )
    return AccessDenied(f"{repo} is only given to people who have signed in.", steps)


def refused(host: str, repo: str) -> AccessDenied:
    """The hub knows who asks, and that one is not on the list."""
    return AccessDenied(
        f"Your account may not download {repo} (yet).",
        f"Open {host}/{repo}, signed in to the same account, and agree to the terms there. Some "
        "authors decide by hand: it then takes until they have answered.",
    )


def bad_token(host: str) -> AccessDenied:
    """The token is wrong, old or withdrawn."""
    return AccessDenied(
        "The hub does not accept your access token.",
        f"It may be old or withdrawn: make a new one at {host}/settings/tokens.",
    )


def not_found(what: str, host: str) -> NotOnHub:
    """Neither model, nor revision, nor file."""
    return NotOnHub(
        f"There is no {what} on {host}.",
        "Check the spelling; capital letters count. It may also have been removed or be private.",
    )


def too_many(seconds: float, *, has_token: bool) -> TooManyRequests:
    """The hub counts requests; `seconds` is how long it wants to be left alone."""
    wait = f"Try again in {words.duration(seconds)}." if seconds else "Try again in some minutes."
    more = "" if has_token else " With an access token, the hub allows more."
    found = TooManyRequests("The hub has had too many requests from here.", wait + more)
    found.wait = seconds
    return found


def server_trouble(host: str, status: int) -> ServerTrouble:
    """An answer with a status from 500 up."""
    return ServerTrouble(
        f"{host} has trouble at the moment (error {status}).",
        "Try again in some minutes; what was downloaded is kept.",
    )


def strange_answer(host: str, details: str) -> HubError:
    """Something that no hub would say: a hotel's sign-in page, a broken proxy, an attack."""
    return HubError(
        f"{host} gave an answer that makes no sense.",
        "If this network has a sign-in page, open it in a browser first. If not, try again later.",
        details,
    )


def damaged(name: str) -> DamagedDownload:
    """A file that arrives in another form than the hub has it."""
    return DamagedDownload(
        f"{name} arrived damaged.",
        "Try again. If it happens again, something between this computer and the hub changes "
        "files: a proxy, a virus scanner, a bad cable or bad memory.",
    )
