"""Render and update with Copier, through its public functions only.

What makes Copier fast enough for hundreds of services is in `generator.acceleration`, and can be left out.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from generator.errors import TemplateError
from generator.git import SETTINGS, environment
from generator.template import Template

ANSWERS_FILE = ".copier-answers.yml"


class Renderer:
    """Renders one template. Use it inside `renderer(template)`."""

    def __init__(self, template: Template) -> None:
        """Remember the template."""
        self.template = template

    def render(self, answers: Mapping[str, Any], commit: str, destination: Path) -> None:
        """Render the template into an empty folder.

        Args:
            answers: What the templates read.
            commit: Version of the template.
            destination: A folder that is empty or not there yet.

        Raises:
            TemplateError: The template does not render.
        """
        import copier  # noqa: PLC0415 -- takes half a second, which commands that render nothing need not spend

        with _translated():
            copier.run_copy(
                self.template.url,
                destination,
                data=dict(answers),
                vcs_ref=commit,
                defaults=True,
                overwrite=True,
                quiet=True,
            )

    def update(self, answers: Mapping[str, Any], folder: Path) -> None:
        """Merge the template and `answers` into the clean repository at `folder` and leave the result uncommitted.

        Conflicts stay in the files, between markers, and in the index as unmerged.

        Raises:
            TemplateError: The template does not render, or Copier refuses.
        """
        import copier  # noqa: PLC0415

        with _translated():
            copier.run_update(
                folder,
                data=dict(answers),
                vcs_ref=self.template.commit,
                defaults=True,
                overwrite=True,
                conflict="inline",
                quiet=True,
            )


@contextmanager
def renderer(template: Template, pristine: Path, *, accelerated: bool = True) -> Iterator[Renderer]:
    """Give Copier what it needs around it: the template's address stands for the history on this machine.

    Args:
        template: The template to render.
        pristine: Folder in which nobody changes what was rendered while the context lasts.
        accelerated: Whether Copier's slow parts are replaced; the result is the same.
    """
    with TemporaryDirectory(prefix="triptych-copier-", ignore_cleanup_errors=True) as cache:
        settings = SETTINGS | {f"url.{template.repository}.insteadOf": template.url}
        # A cache of its own: the result is the same whatever Copier kept from earlier runs.
        variables = environment(settings) | {"COPIER_CACHE_DIR": cache}
        with _machine(variables), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not accelerated:
                yield Renderer(template)
                return
            from generator.acceleration import accelerate  # noqa: PLC0415

            with accelerate(pristine):
                yield Renderer(template)


@contextmanager
def _machine(variables: Mapping[str, str]) -> Iterator[None]:
    """Run with exactly these environment variables, for this process and those that Copier starts."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    from plumbum import local  # noqa: PLC0415 -- it copies the environment when it is first imported

    try:
        with local.env():
            for name in set(local.env.getdict()) - set(variables):
                del local.env[name]
            local.env.update(variables)
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what Copier and Jinja raise into an error that names the template."""
    from copier.errors import CopierError  # noqa: PLC0415
    from jinja2 import TemplateError as JinjaError  # noqa: PLC0415
    from plumbum import ProcessExecutionError  # noqa: PLC0415

    try:
        yield
    except UnicodeDecodeError as error:
        # Copier reads git's output as UTF-8; templates were read by then.
        shown = error.object.decode("utf-8", "backslashreplace").strip()
        raise TemplateError(
            f"Copier cannot read names of files that are not UTF-8; rename the file: {shown}"
        ) from error
    except (CopierError, JinjaError, ProcessExecutionError, ValueError, TypeError) as error:
        place = ":".join(str(part) for part in (getattr(error, "name", None), getattr(error, "lineno", None)) if part)
        raise TemplateError(f"The template does not render. {place + ': ' if place else ''}{error}") from error
