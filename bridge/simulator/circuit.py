"""The road that the simulated vehicle drives: a closed loop of straights and arcs, on the globe.

A made-up circuit of about six kilometres: a town with traffic lights, a country road and a faster
stretch through a wood. Everything is a function of the distance along the loop, so position, heading
and distance travelled always agree. It must not know the vehicle, time or signals.

Plane coordinates are metres east and north of the circuit's origin; headings are radians
counted from east towards north; curvature is 1/m, positive to the left.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_right
from dataclasses import dataclass

METERS_PER_DEGREE = 111_320.0  #: along a meridian; enough for a loop of a few kilometres
CORNERING = 2.2  #: m/s², how fast a relaxed driver goes through a curve
BRAKING = 1.4  #: m/s², how early he brakes for one
SMOOTHING = 6.0  #: m before and behind the car over which a driver rounds off the ends of an arc
SHARP = math.radians(35)  #: a turn by more than this is worth a turn signal
GRID = 4.0  #: m between the points of the speed profile
RISE = 0.018  #: steepest slope of the road, as a fraction
HILLS = 3  #: on the loop; it ends at the height where it began


class StopKind(enum.Enum):
    """Why the vehicle may stop at a place."""

    LIGHT = "traffic light"
    PASSENGER = "passenger"
    PETROL = "petrol station"


class Turn(enum.Enum):
    """What a turn signal would say."""

    NONE = "none"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Corner:
    """A corner of the loop before it is rounded off, and the road that follows it."""

    x: float
    y: float
    radius: float  #: m
    limit: float  #: km/h on the straight behind it
    dark: bool = False  #: the straight behind it wants headlamps


@dataclass(frozen=True, slots=True)
class Stop:
    """A place to stop, as distance along the loop in metres."""

    at: float
    kind: StopKind


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the loop."""

    latitude: float  #: degrees, north positive
    longitude: float  #: degrees, east positive
    heading: float


@dataclass(frozen=True, slots=True)
class _Piece:
    start: float
    length: float
    x: float
    y: float
    heading: float
    curvature: float
    turn: Turn
    limit: float  #: m/s
    dark: bool

    def at(self, distance: float) -> tuple[float, float, float]:
        """East, north and heading at a distance from the piece's start."""
        if not self.curvature:
            return self.x + distance * math.cos(self.heading), self.y + distance * math.sin(self.heading), self.heading
        heading = self.heading + self.curvature * distance
        east = self.x + (math.sin(heading) - math.sin(self.heading)) / self.curvature
        north = self.y - (math.cos(heading) - math.cos(self.heading)) / self.curvature
        return east, north, heading


CORNERS = (
    Corner(0, 0, 25, 50),
    Corner(900, 0, 30, 50),
    Corner(900, 500, 20, 70),
    Corner(1500, 500, 60, 100),
    Corner(1500, 1400, 150, 90, dark=True),
    Corner(600, 1600, 80, 60, dark=True),
    Corner(300, 1100, 120, 70),
    Corner(-300, 900, 40, 50),
    Corner(-300, 300, 35, 50),
)
ORIGIN = (42.4217, -83.6409)  #: degrees; the road is made up, the region is OpenXC's home


class Circuit:
    """A closed loop made of corners joined by straights."""

    def __init__(
        self, corners: tuple[Corner, ...] = CORNERS, origin: tuple[float, float] = ORIGIN, start: float = 120.0
    ) -> None:
        self._origin = origin
        self._east_scale = METERS_PER_DEGREE * math.cos(math.radians(origin[0]))
        self._pieces = _pieces(corners)
        self._starts = [piece.start for piece in self._pieces]
        self.length = self._pieces[-1].start + self._pieces[-1].length  #: m
        self.start = start  #: m from the first corner, where the vehicle is parked at first
        ends = [piece.start + piece.length for piece in self._pieces if not piece.curvature]
        self.stops = (
            Stop(ends[0] - 8.0, StopKind.LIGHT),
            Stop(ends[2] - 8.0, StopKind.LIGHT),
            Stop(ends[5] - 8.0, StopKind.LIGHT),
            Stop(ends[7] - 250.0, StopKind.PASSENGER),
            Stop(ends[8] - 120.0, StopKind.PETROL),
        )
        self._profile = self._speed_profile()

    def place(self, distance: float) -> Place:
        """Where on the globe a distance along the loop is."""
        east, north, heading = self._locate(distance)
        latitude = self._origin[0] + north / METERS_PER_DEGREE
        return Place(latitude, self._origin[1] + east / self._east_scale, heading)

    def curvature(self, distance: float) -> float:
        """Curvature of the path that a driver takes, without the jumps at the ends of an arc."""
        change = self._locate(distance + SMOOTHING)[2] - self._locate(distance - SMOOTHING)[2]
        return math.remainder(change, math.tau) / (2 * SMOOTHING)

    def speed(self, distance: float) -> float:
        """The speed in m/s at which a relaxed driver passes, curves ahead considered."""
        position = distance % self.length / GRID
        before = int(position)
        share = position - before
        count = len(self._profile)
        return self._profile[before % count] * (1 - share) + self._profile[(before + 1) % count] * share

    def turn(self, distance: float, ahead: float = 0.0) -> Turn:
        """The first sharp turn of the road between a distance and so many metres further on."""
        first = bisect_right(self._starts, distance % self.length) - 1
        last = self._starts[first] + self._pieces[first].length
        turn = self._pieces[first].turn
        end = distance % self.length + ahead
        while turn is Turn.NONE and last < end:
            first = (first + 1) % len(self._pieces)
            last += self._pieces[first].length
            turn = self._pieces[first].turn
        return turn

    def dark(self, distance: float) -> bool:
        """Whether headlamps are wanted at a distance."""
        return self._piece(distance).dark

    def grade(self, distance: float) -> float:
        """The slope as a fraction, uphill positive."""
        return RISE * math.sin(math.tau * HILLS * distance / self.length)

    def section(self, distance: float) -> int:
        """The number of the straight or arc at a distance, counting on from lap to lap."""
        lap, rest = divmod(distance, self.length)
        return int(lap) * len(self._pieces) + bisect_right(self._starts, rest) - 1

    def stop_after(self, distance: float) -> tuple[float, StopKind]:
        """The next place to stop: its distance, counting on from lap to lap, and why."""
        lap = distance // self.length * self.length
        rest = distance - lap
        for stop in self.stops:
            if stop.at > rest:
                return lap + stop.at, stop.kind
        return lap + self.length + self.stops[0].at, self.stops[0].kind

    def _piece(self, distance: float) -> _Piece:
        return self._pieces[bisect_right(self._starts, distance % self.length) - 1]

    def _locate(self, distance: float) -> tuple[float, float, float]:
        piece = self._piece(distance)
        return piece.at(distance % self.length - piece.start)

    def _speed_profile(self) -> list[float]:
        count = math.ceil(self.length / GRID)
        around = (-SMOOTHING - GRID, 0.0, SMOOTHING + GRID)  # a driver is in the curve before and after its arc
        profile = [min(self._piece(number * GRID + offset).limit for offset in around) for number in range(count)]
        # Twice around, so that the brakes for the first curve reach back across the start line.
        for number in range(2 * count - 2, -1, -1):
            ahead = profile[(number + 1) % count]
            profile[number % count] = min(profile[number % count], math.sqrt(ahead * ahead + 2 * BRAKING * GRID))
        return profile


def _pieces(corners: tuple[Corner, ...]) -> tuple[_Piece, ...]:
    pieces: list[_Piece] = []
    distance = 0.0
    count = len(corners)
    tangents = [_tangent(corners[i - 1], corners[i], corners[(i + 1) % count]) for i in range(count)]
    for number, corner in enumerate(corners):
        following = (number + 1) % count
        end = corners[following]
        heading = math.atan2(end.y - corner.y, end.x - corner.x)
        skipped = tangents[number][0]
        x, y = corner.x + skipped * math.cos(heading), corner.y + skipped * math.sin(heading)
        length = math.dist((corner.x, corner.y), (end.x, end.y)) - skipped - tangents[following][0]
        straight = _Piece(distance, length, x, y, heading, 0.0, Turn.NONE, corner.limit / 3.6, corner.dark)
        pieces.append(straight)
        distance += length
        pieces.append(_arc(straight, end, tangents[following][1]))
        distance += pieces[-1].length
    return tuple(pieces)


def _tangent(before: Corner, corner: Corner, after: Corner) -> tuple[float, float]:
    """How much of the straights a corner's arc takes, in metres, and by how much it turns, in radians."""
    heading_in = math.atan2(corner.y - before.y, corner.x - before.x)
    heading_out = math.atan2(after.y - corner.y, after.x - corner.x)
    turn = math.remainder(heading_out - heading_in, math.tau)
    return corner.radius * math.tan(abs(turn) / 2), turn


def _arc(straight: _Piece, corner: Corner, turn: float) -> _Piece:
    x, y, heading = straight.at(straight.length)
    signal = Turn.NONE if abs(turn) < SHARP else Turn.LEFT if turn > 0 else Turn.RIGHT
    limit = min(math.sqrt(CORNERING * corner.radius), straight.limit)
    start = straight.start + straight.length
    curvature = math.copysign(1 / corner.radius, turn)
    return _Piece(start, corner.radius * abs(turn), x, y, heading, curvature, signal, limit, straight.dark)
