"""What the catalogue's rows on what a session does are named after: papers, and kinds of threat.

Sources: Tan 2002 = Tan, Kumar, "Discovery of web robot sessions based on their navigational patterns", Data Mining and
Knowledge Discovery 6, 9-35, the origin of most session features; Stevanovic 2012 = Stevanovic, An, Vlajic, "Feature
evaluation for web crawler detection with data mining techniques", Expert Systems with Applications 39, 8707-8717 (nine
features; its own two are requests in sequence and the deviation of the depth); Iliou 2019 = Iliou et al., "Towards a
framework for detecting advanced web bots", ARES. Three more were read for what they add: Iliou et al., "Detection of
advanced web bots by combining web logs with mouse behavioural biometrics", DTRAP 2021 (movements of a mouse, which no
log holds); Cabri, Suchacka, Rovetta, Masulli, "Online web bot detection using a sequential classification approach",
HPCC 2018, 1536-1540 (requests as they come: rows as of events); and Lagopoulos, Tsoumakas, Papadopoulos, "Web robot
detection in academic publishing", arXiv 1711.05098 (topics of the content, which no log holds, beside features of
earlier studies). A row without a source is our own.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DENIAL", "ILIOU", "PRINTING", "SCANNING", "SCRAPING", "STEVANOVIC", "TAN"]

SCRAPING: Final = ("OAT-011",)
DENIAL: Final = ("OAT-015",)
SCANNING: Final = ("OAT-014",)
PRINTING: Final = ("OAT-018",)
TAN: Final = "Tan 2002"
STEVANOVIC: Final = "Stevanovic 2012"
ILIOU: Final = "Iliou 2019"
