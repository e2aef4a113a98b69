"""What a user can cause, as one tree; front ends catch `InpaintError` and nothing else.

InpaintError
+-- ConfigError    a setting that cannot work
+-- ImageError     a picture or mask file that is missing, damaged or unsuited
|   +-- FormatError    a file that is no picture, or of a kind that is not read
+-- ShapeError     sizes or channels that do not fit
+-- WeightsError   a weights file that is missing, damaged, too new or of another architecture
+-- BackendError   a runtime or device that is absent or refuses
+-- TrainingError  training data or a run folder that cannot be used

Each message says what was found, what is needed and what to do.
"""


class InpaintError(Exception):
    """Anything a user can cause and mend."""


class ConfigError(InpaintError):
    """A setting that cannot work."""


class ImageError(InpaintError):
    """A picture or mask file that is missing, damaged or unsuited."""


class FormatError(ImageError):
    """A file that is no picture, or of a kind that is not read."""


class ShapeError(InpaintError):
    """Sizes or channels that do not fit together."""


class WeightsError(InpaintError):
    """A weights file that is missing, damaged, too new or of another architecture."""


class BackendError(InpaintError):
    """A runtime or a device that is absent or refuses."""


class TrainingError(InpaintError):
    """Training data or a run folder that cannot be used."""
