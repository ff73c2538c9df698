"""The job after the array: puts the tiles together into one PNG.

    stitch.py TILES PICTURE
"""

import pathlib
import struct
import sys
import zlib

from fractal import HEIGHT, TILES, TILE_HEIGHT, TILE_WIDTH, WIDTH


def rows(tiles):
    """The rows of the whole picture, from the top."""
    for band in range(TILES):
        pixels = [(tiles / f"{band * TILES + column:02}.rgb").read_bytes() for column in range(TILES)]
        for y in range(TILE_HEIGHT):
            yield b"".join(tile[y * TILE_WIDTH * 3 : (y + 1) * TILE_WIDTH * 3] for tile in pixels)


def chunk(kind, data):
    """Length, kind, data and checksum, as PNG has it."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(lines):
    """A PNG of 8-bit RGB rows, unfiltered (each row opens with filter type 0)."""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def main(tiles, picture):
    picture.write_bytes(png(rows(tiles)))
    print(f"{picture}: {WIDTH} × {HEIGHT} pixels from {TILES * TILES} tiles")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
