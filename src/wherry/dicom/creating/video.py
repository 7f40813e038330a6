"""What is said of a video, and which transfer syntax takes it (PS3.5 §8.2.5 to §8.2.9, §A.4.5 ff.).

Known: H.264 and HEVC in MP4 (``mp4``), MPEG-2 as an elementary or a program stream (``mpeg2``).
Not: transport streams, MP4 in fragments, other codecs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wherry.errors import UnsupportedMediaType

_BASE: Final = "1.2.840.10008.1.2.4."


@dataclass(frozen=True, slots=True)
class Video:
    """One video."""

    syntax: str
    """Transfer syntax."""
    method: str
    """Lossy Image Compression Method (0028,2114)."""
    rows: int
    columns: int
    frames: int
    frame_time_ms: float
    bits: int = 8
    """Of a sample."""


def h264_syntax(profile: int, constraints: int, level: int) -> str:
    """``profile_idc``, the constraint flags and ``level_idc`` (ITU-T H.264 §7.4.2.1.1). What a High
    profile decoder decodes is taken: constrained Baseline and Main too. Raises
    ``UnsupportedMediaType``."""
    is_decodable = profile in (77, 100) or (profile == 66 and constraints & 0x40)
    if is_decodable and level <= 41:
        return _BASE + "102"
    if is_decodable and level <= 42:
        return _BASE + "104"
    raise UnsupportedMediaType(
        f"No transfer syntax for H.264 of profile {profile}, level {level / 10:g}"
    )


def hevc_syntax(profile: int, tier: int, level: int) -> tuple[str, int]:
    """``general_profile_idc``, ``general_tier_flag``, ``general_level_idc`` (ITU-T H.265 §7.4.4):
    the transfer syntax, and bits of a sample. Raises ``UnsupportedMediaType``."""
    if profile in (1, 2) and tier == 0 and level <= 153:
        return (_BASE + "107", 8) if profile == 1 else (_BASE + "108", 10)
    raise UnsupportedMediaType(
        f"No transfer syntax for HEVC of profile {profile}, tier {tier}, level {level / 30:g}"
    )


def mpeg2_syntax(profile_and_level: int) -> str:
    """``profile_and_level_indication`` (ITU-T H.262 §8). Raises ``UnsupportedMediaType``."""
    profile, level = profile_and_level >> 4 & 7, profile_and_level & 15
    if not profile_and_level & 0x80 and profile in (4, 5):  # Main, Simple
        if level in (8, 10):  # Main, Low
            return _BASE + "100"
        if level in (4, 6):  # High, High 1440
            return _BASE + "101"
    raise UnsupportedMediaType(
        f"No transfer syntax for MPEG-2 of profile and level {profile_and_level:#x}"
    )
