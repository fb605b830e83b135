"""Made-up people, to fill in forms with.

    person = job_ctx.identity
    await page.get_by_label("E-mail").fill(person.email)

    from armada import identity
    second = identity.generate(locale="de-DE", seed="the second one")

None of them exists. A job has the same person in every attempt, and every other job another one. Who it is holds for
one version of Armada: the next may make up others.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from ._host import identity as _wit
from ._words import optional_choice, word_of

__all__ = ["Address", "Gender", "Identity", "current", "generate", "of_job"]

Gender: TypeAlias = Literal["female", "male"]
"""What a given name is usual for."""


@dataclass(frozen=True)
class Address:
    """Where somebody lives."""

    street: str
    """The street, without the number."""
    number: str
    """The number in the street."""
    postal_code: str
    """The postal code, in the country's form."""
    city: str
    """The city."""
    region: str
    """The state, county or other part of the country."""
    country: str
    """The country, such as `DE`."""


@dataclass(frozen=True)
class Identity:
    """A person. All of it fits together."""

    locale: str
    """The language and country, such as `de-DE`."""
    given_name: str
    """The given name."""
    family_name: str
    """The family name."""
    gender: Gender
    """What the given name is usual for."""
    birth_date: datetime.date
    """The date of birth: of an adult."""
    address: Address
    """Where the person lives."""
    phone: str
    """A phone number in international form that is nobody's."""
    user_name: str
    """A name for an account: lower-case ASCII letters, digits and dots."""
    email: str
    """The user name at the domain of `config_identity.email_domain`, or at `example.com`, which takes no mail."""
    password: str
    """A password of 16 ASCII characters, with lower-case and upper-case letters, digits and signs."""


def current() -> Identity:
    """The job's own person: the same in every attempt.

    Raises `armada.InvalidError` while no job runs.
    """
    return _identity(_wit.current())


def generate(*, locale: str | None = None, gender: Gender | None = None, seed: str | None = None) -> Identity:
    """One more person: of a language and country such as `de-DE` or one of the two, with a name that is usual for this
    gender, and somebody else for every other `seed`.

    Raises `armada.InvalidError` for a locale that there are no people of, and while no job runs.
    """
    return _identity(_wit.generate(_wit.Options(locale, optional_choice(_wit.Gender, Gender, gender), seed)))


def of_job() -> Identity:
    """The job's own person, made up when something of it is first read: a job that reads nothing needs no grant."""
    return cast(Identity, _OfJob())


class _OfJob:
    """Stands for the job's own person."""

    # It has the same fields, for `dataclasses.asdict` and for results.
    __dataclass_fields__ = Identity.__dataclass_fields__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = current()
        # From here on they are found without this.
        vars(self).update(vars(known))
        return getattr(known, name)

    def __repr__(self) -> str:
        return repr(current())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Identity, _OfJob)) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(current())


def _identity(made: Any) -> Identity:
    home = made.address
    return Identity(
        locale=made.locale,
        given_name=made.given_name,
        family_name=made.family_name,
        gender=word_of(Gender, made.gender),
        birth_date=datetime.date.fromisoformat(made.birth_date),
        address=Address(home.street, home.number, home.postal_code, home.city, home.region, home.country),
        phone=made.phone,
        user_name=made.user_name,
        email=made.email,
        password=made.password,
    )
