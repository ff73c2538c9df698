"""The picture: a part of the Mandelbrot set with smooth colours, cut into 8 × 8 tiles.

What must hold: a tile depends on nothing but its index, so tiles can be drawn anywhere and in any order.
"""

import math

TILES = 8  # a side
TILE_WIDTH, TILE_HEIGHT = 160, 120
WIDTH, HEIGHT = TILES * TILE_WIDTH, TILES * TILE_HEIGHT

CENTRE = complex(-0.743643887037151, 0.131825904205330)
SPAN = 0.0021  # width of the picture in the complex plane
ITERATIONS = 700
ESCAPE = 1 << 16  # |z|² far outside the set, so that neighbouring bands blend without a seam

# Colours in sRGB around a circle, mixed linearly between neighbours.
PALETTE = [(0, 7, 60), (24, 82, 158), (118, 190, 232), (247, 251, 240), (255, 196, 64), (206, 92, 20), (76, 14, 36)]


def colour(iterations, magnitude_squared):
    """Turns how long, and how far, a point took to escape into three bytes."""
    smooth = iterations + 1 - math.log2(math.log(magnitude_squared) / 2)
    place = math.log(max(smooth, 1)) * 2.6 % len(PALETTE)
    first = int(place)
    mix = place - first
    here, there = PALETTE[first], PALETTE[(first + 1) % len(PALETTE)]
    return bytes(round(a + (b - a) * mix) for a, b in zip(here, there))


def pixel(c):
    """Iterates z² + c until it escapes."""
    z = 0j
    for iterations in range(ITERATIONS):
        z = z * z + c
        if z.real * z.real + z.imag * z.imag > ESCAPE:
            return colour(iterations, z.real * z.real + z.imag * z.imag)
    return b"\0\0\0"


def tile(index):
    """The pixels of tile `index` (0-based, row by row): RGB, 8 bits each, rows from the top."""
    row, column = divmod(index, TILES)
    step = SPAN / WIDTH
    pixels = bytearray()
    for y in range(row * TILE_HEIGHT, (row + 1) * TILE_HEIGHT):
        for x in range(column * TILE_WIDTH, (column + 1) * TILE_WIDTH):
            pixels += pixel(CENTRE + complex((x - WIDTH / 2) * step, (HEIGHT / 2 - y) * step))
    return bytes(pixels)
