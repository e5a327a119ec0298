"""From a pseudonym back to the site's own: what a result may name instead of a patient.

A project is served pseudonyms of its own (`PseudonymKeys.for_project`), which are kept nowhere: they are made anew of
all that the vault knows and compared. The vault isn't opened for that; it is, on the record, by `Vault.reveal`.
"""

from __future__ import annotations

from collections.abc import Iterable

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.errors import NotFound
from wardround.node.deidentify.vault import Vault

_OF_PROJECT = "WP-"
_UID = "2.25."


def site_pseudonym(vault: Vault, keys: PseudonymKeys, name: str, projects: Iterable[str]) -> str:
    """The site's pseudonym of whom `name` stands for: a pseudonym of the site or of a project, or the (new) UID of a
    study, series or instance, of the site or of a project.

    Args:
        projects: whose pseudonyms it may be.

    Raises:
        NotFound: it is nobody's here.
    """
    name = name.strip()
    if name in vault.pseudonyms():
        return name
    owners = vault.owners([name])
    if not owners and name.startswith((_OF_PROJECT, _UID)):
        known = vault.pseudonyms() if name.startswith(_OF_PROJECT) else vault.names()
        for project in projects:
            served = keys.for_project(project)
            make = served.patient if name.startswith(_OF_PROJECT) else served.uid
            found = [each for each in known if make(each) == name]
            if found:
                owners = vault.owners(found)
                break
    if len(owners) != 1:
        raise NotFound(
            "the vault knows nobody by that name; give a pseudonym or UID as this site or one of its projects wrote it"
        )
    [owner] = owners
    return owner
