"""Made-up people, and the device that pages see."""

import datetime

import armada
from armada import fingerprint, identity
from cases import Case, case, raises


@case
async def a_job_has_a_person_of_its_own(case: Case) -> None:
    person = case.job.identity
    assert person == identity.current() and person.address == identity.current().address
    assert isinstance(person.birth_date, datetime.date) and person.gender in ("female", "male")
    assert person.email == f"{person.user_name}@example.com" and len(person.password) == 16
    assert person.given_name in repr(person) and not hasattr(person, "own")


@case
async def more_people_are_made_up(case: Case) -> None:
    first = identity.generate(locale="de-DE", gender="female", seed="a")
    assert first == identity.generate(locale="de-DE", gender="female", seed="a") != identity.generate(seed="a")
    assert (first.locale, first.gender, first.address.country) == ("de-DE", "female", "DE")
    with raises(armada.InvalidError, "the locales are"):
        identity.generate(locale="xx")
    with raises(armada.InvalidError, "'other' is none of 'female', 'male'"):
        identity.generate(gender="other")  # type: ignore[arg-type]


@case
async def the_device_is_the_machines_own_unless_the_configuration_says_otherwise(case: Case) -> None:
    assert "android-phone" in fingerprint.profiles()
    with raises(armada.InvalidError, "config_fingerprint.fingerprint_enabled"):
        await fingerprint.current()
