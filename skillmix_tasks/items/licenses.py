"""The licenses that the Hub knows, by the ids that it takes in a card."""

from __future__ import annotations

from difflib import get_close_matches

from grading import UserError

# hub-docs/docs/hub/repositories-licenses.md of 2026-08-22; huggingface_hub has no list.
_IDS = """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0
    c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0
    cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m
    deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
    fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
    intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail openrail++ osl-3.0
    other pddl postgresql unknown unlicense wtfpl zlib
"""
LICENSES = frozenset(_IDS.split())


def known_license(name: str, write: str) -> str:
    """The Hub's id of a license; UserError if it has none. `write` is where the id goes, as "--license "."""
    wanted = name.strip().lower().replace(" ", "-")
    if wanted in LICENSES:
        return wanted
    versions = [name for name in LICENSES if name.startswith(wanted)]  # "cc-by" means its last version
    similar = get_close_matches(wanted, sorted(LICENSES), n=1) or ["cc-by-4.0"]
    near = max(versions, key=lambda name: (-len(name), name)) if versions else similar[0]
    raise UserError(
        f"The Hub does not know the license {name!r}: write `{write}{near}`, or another id of "
        "https://huggingface.co/docs/hub/repositories-licenses."
    )
