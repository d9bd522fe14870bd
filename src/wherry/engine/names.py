"""Containers' names and IDs: made up when none is given."""

import re
import secrets

from wherry import errdefs

_NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_ADJECTIVES = """
able amber ample apt balmy bold brave breezy bright brisk calm candid cheery chief civil clear
clever cosy crisp curious dapper daring deft eager early earnest easy elated fair fearless fine
fleet fluent fond frank free fresh gallant gentle glad golden good grand hale handy happy hardy
hearty honest hopeful humble jolly keen kind lively loyal lucid lucky mellow merry mild modest
neat nimble noble open patient plucky polite prime proud prudent quick quiet ready regal robust
rosy sage serene sharp silent sleek smart snug sober solid spry stable steady stout sturdy sunny
sure swift tender thrifty tidy true upbeat valiant vivid warm wise witty worthy zesty
"""

# People of sails, charts, tides and the machines that came after them.
_SURNAMES = """
amundsen anning appert archimedes bache banks barents beaufort bering bessel blackwell bowditch
brunel cabot carpenter carson cartier cassini chappe cheng chichester columbus cook cousteau
dampier darwin davis drake earle ekman ericsson eudoxus euler faraday ferrel fitzroy flinders
franklin fresnel froude fulton galilei gama gatty gauss gilbert godfrey hadley halley harrison
helmholtz henson herschel hipparchus hooke hudson humboldt huygens johnson kelvin knox lansing
lind lovell magellan mallet marconi marshall maury maxwell mercator moitessier nansen nares
newcomen norwood nunes parry peary piccard plimsoll polo ptolemy pytheas ritchie ross sabine
scoresby shackleton slocum smeaton snell stevenson stokes symington tabarly tasman tharp thoreau
torricelli trevithick vancouver vespucci waghenaer watt wegener worsley wright zeno zheng
"""


_first = _ADJECTIVES.split()
_second = _SURNAMES.split()


def new_id() -> str:
    return secrets.token_hex(32)


def made_up(digits: int = 0) -> str:
    """An adjective and a surname, as Docker's names are, with a number for when those are taken."""
    number = str(secrets.randbelow(10**digits)) if digits else ""
    return f"{secrets.choice(_first)}_{secrets.choice(_second)}{number}"


def check_name(name: str) -> str:
    """The name without its slash. Raises InvalidArgument in Docker's words."""
    if not _NAME.fullmatch(name):
        raise errdefs.invalid(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return name.removeprefix("/")
