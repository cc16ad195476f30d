"""Who keeps a place at a receiver that is full: a decision without sockets and without a clock."""

from __future__ import annotations

import pytest

from loguru_stdbridge.receiver.places import (
    NEWCOMER_TIMEOUT,
    SILENT_TIMEOUT,
    Places,
    Standing,
)

NOW = 1000.0
LATE = NOW - NEWCOMER_TIMEOUT - 1
SILENT = NOW - SILENT_TIMEOUT - 1


class Client:
    """A connection, as far as the places know one."""

    ended = False

    def __init__(self, name, standing=Standing.STRANGER, origin="A", opened=0.0, received=NOW):
        self.name = name
        self.standing = standing
        self.origin = origin
        self.opened_at = opened
        self.received_at = received

    def __repr__(self):
        return self.name


def newcomer(name, opened=NOW, **options):
    return Client(name, Standing.NEWCOMER, opened=opened, received=opened, **options)


def stranger(name, received=NOW, **options):
    return Client(name, Standing.STRANGER, received=received, **options)


def worker(name, received=NOW, **options):
    return Client(name, Standing.WORKER, received=received, **options)


def strangers(count, **options):
    return [stranger(f"stranger {n}", **options) for n in range(count)]


def workers(count, **options):
    return [worker(f"worker {n}", **options) for n in range(count)]


@pytest.fixture
def places():
    """A hundred places: 5 in the lobby, 84 open to strangers, 11 for workers alone."""
    places = Places(100, lambda client: client.origin)
    assert (places.seats, places.open_to_strangers) == (95, 84)
    return places


def leaves(client):
    return None if client is None else client.name


@pytest.mark.parametrize("limit", range(1, 50))
def test_every_receiver_has_a_place_for_strangers(limit):
    """A receiver with few descriptors serves strangers, too, and workers where it has three."""
    places = Places(limit, lambda client: client.origin)
    assert 0 < places.open_to_strangers <= places.seats <= limit
    assert limit == 1 or places.seats < limit
    assert limit < 4 or places.open_to_strangers < places.seats


# -- for a client that waits to be accepted


def test_a_newcomer_that_says_nothing_leaves_first(places):
    """The lobby empties itself: its oldest client leaves, of the origin that has most there."""
    clients = [
        *strangers(95, received=SILENT),
        newcomer("oldest of B", opened=LATE - 5, origin="B"),
        newcomer("older of A", opened=LATE - 2),
        newcomer("old of A", opened=LATE - 1),
        newcomer("young of A"),
    ]
    assert leaves(places.for_newcomer(clients, NOW)) == "older of A"


def test_a_young_newcomer_may_stay(places):
    """A newcomer has some time to say who it is; a silent stranger leaves in its place."""
    clients = [newcomer("young"), *strangers(98), stranger("silent", received=SILENT)]
    assert leaves(places.for_newcomer(clients, NOW)) == "silent"


def test_a_silent_worker_leaves_after_the_silent_strangers(places):
    """A worker that is idle connects again when it has records."""
    idle = worker("idle", received=SILENT - 100)
    silent = stranger("silent", received=SILENT)
    assert leaves(places.for_newcomer([*strangers(50), idle, silent], NOW)) == "silent"
    assert leaves(places.for_newcomer([*strangers(50), idle], NOW)) == "idle"


def test_nobody_leaves_for_a_newcomer_where_all_are_busy(places):
    """The client that waits may be anybody: no busy client leaves for it."""
    assert places.for_newcomer([*strangers(50), *workers(50)], NOW) is None


# -- for a stranger


def test_a_stranger_gets_a_free_place(places):
    """Nobody leaves while there are places for strangers."""
    new = stranger("new")
    assert places.for_stranger(new, [*strangers(83), new], NOW) is None


def test_a_silent_stranger_leaves_for_another(places):
    """A silent stranger leaves, whatever it has sent: first one of the origin that has most."""
    new = stranger("new", origin="B")
    clients = [
        *strangers(80),
        stranger("silent longest", origin="C", received=SILENT - 9),
        stranger("silent", received=SILENT),
        stranger("silent longer", received=SILENT - 5),
        new,
    ]
    assert leaves(places.for_stranger(new, [*clients, stranger("one more")], NOW)) == (
        "silent longer"
    )


def test_the_origin_with_most_places_gives_one_to_another(places):
    """However busy the clients of one origin are, they do not keep another origin out."""
    new = stranger("new", origin="B")
    busy = [stranger(f"busy {n}", received=NOW - n / 100) for n in range(84)]
    assert leaves(places.for_stranger(new, [*busy, new], NOW)) == "busy 83"


def test_the_origin_with_most_places_gets_no_more(places):
    """A busy origin's own newcomer leaves: none of its clients has more right than another."""
    new = stranger("new")
    assert leaves(places.for_stranger(new, [*strangers(84), new], NOW)) == "new"


def test_two_origins_share_the_places_evenly(places):
    """Origins that press on get as many places each, whoever came first, and then nobody moves."""
    clients = strangers(84, origin="A")
    moves = 0
    for number in range(200):
        new = stranger(f"B {number}", origin="B")
        clients.append(new)
        gone = places.for_stranger(new, clients, NOW)
        clients.remove(gone)
        moves += gone is not new
    assert sum(client.origin == "B" for client in clients) == 42
    assert moves == 42


def test_strangers_never_get_the_places_of_workers(places):
    """The places that are reserved stay free, however many strangers there are."""
    clients = []
    for number in range(1000):
        new = stranger(f"{number}", origin=number, received=SILENT if number % 2 else NOW)
        clients.append(new)
        gone = places.for_stranger(new, clients, NOW)
        if gone is not None:
            clients.remove(gone)
        assert len(clients) <= 84


def test_an_idle_worker_leaves_for_a_stranger_within_its_bound(places):
    """A worker that is idle loses nothing, a stranger that is turned away does."""
    new = stranger("new")
    idle = worker("idle", received=SILENT)
    assert leaves(places.for_stranger(new, [*workers(94), idle, new], NOW)) == "idle"
    assert leaves(places.for_stranger(new, [*workers(95), new], NOW)) == "new"


# -- for a worker


def test_a_worker_gets_a_free_place(places):
    """Nobody leaves while there is a place for a worker."""
    assert places.for_worker([*strangers(84), *workers(11)], NOW) is None


def test_a_stranger_leaves_for_a_worker(places):
    """Workers come first: a silent stranger leaves for one, or else a busy one."""
    busy = [stranger(f"busy {n}", received=NOW - n / 100) for n in range(40)]
    silent = stranger("silent", received=SILENT, origin="B")
    assert leaves(places.for_worker([*workers(55), *busy, silent], NOW)) == "silent"
    assert leaves(places.for_worker([*workers(56), *busy], NOW)) == "busy 39"


def test_an_idle_worker_leaves_for_another(places):
    """Where all places are workers', one that is idle leaves; where all are busy, nobody does."""
    idle = worker("idle", received=SILENT)
    assert leaves(places.for_worker([*workers(95), idle], NOW)) == "idle"
    assert places.for_worker(workers(96), NOW) is None


def test_a_client_that_is_leaving_counts_no_more(places):
    """A place that is about to be free is not asked for a second time."""
    gone = stranger("gone", received=SILENT - 50)
    gone.ended = True
    new = stranger("new")
    assert places.for_stranger(new, [*strangers(83), gone, new], NOW) is None
    assert places.for_newcomer([gone], NOW) is None
