"""Plots as SVG, of what `make bench` measured: panels side by side, a few lines in each."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 440, 300  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 72, 12, 30, 74
FLOOR, OURS, OTHER = "#8a8a8a", "#1f6fb4", "#c2571a"


class Line:
    def __init__(self, name, points, color, dashed=False):
        self.name, self.points, self.color, self.dashed = name, points, color, dashed


def _text(x, y, text, anchor="middle", size=12):
    return '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>' % (
        x, y, anchor, size, escape(text))


def _steps(most):
    """-> round numbers from 0 to at least `most`, some five of them."""
    raw = most / 5
    power = 10 ** math.floor(math.log10(raw))
    step = power * next(each for each in (1, 2, 5, 10) if each * power >= raw)
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def number(value):
    return "{:,.0f}".format(value) if value >= 10 or value == int(value) else "%.2g" % value


def panel(title, x_title, y_title, lines):
    """The values of x stand at equal distances, whatever they are; y begins at 0."""
    names = [x for x, _ in lines[0].points]
    ticks = _steps(max(y for line in lines for _, y in line.points))

    def place_x(x):
        return LEFT + (names.index(x) + 0.5) * (WIDTH - LEFT - RIGHT) / len(names)

    def place_y(y):
        return HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM) / ticks[-1]

    out = [_text(LEFT + (WIDTH - LEFT - RIGHT) / 2, 18, title, size=13)]
    for tick in ticks:
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#dddddd"/>' % (
            LEFT, WIDTH - RIGHT, place_y(tick), place_y(tick)))
        out.append(_text(LEFT - 6, place_y(tick) + 4, number(tick), "end", 11))
    for name in names:
        out.append(_text(place_x(name), HEIGHT - BOTTOM + 16,
                         name if isinstance(name, str) else number(name), size=11))
    out.append(_text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - BOTTOM + 32, x_title))
    out.append('<g transform="translate(14 %.1f) rotate(-90)">%s</g>' % (
        TOP + (HEIGHT - TOP - BOTTOM) / 2, _text(0, 0, y_title)))
    for i, line in enumerate(lines):
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        points = ["%.1f,%.1f" % (place_x(x), place_y(y)) for x, y in line.points]
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>' % (
            " ".join(points), line.color, dash))
        out += ['<circle cx="%s" cy="%s" r="3" fill="%s"/>' % (*point.split(","), line.color)
                for point in points]
        x, y = LEFT + (i % 2) * 190, HEIGHT - 26 + (i // 2) * 16
        out.append('<line x1="%d" x2="%d" y1="%d" y2="%d" stroke="%s" stroke-width="2"%s/>' % (
            x, x + 24, y - 4, y - 4, line.color, dash))
        out.append(_text(x + 30, y, line.name, "start", 11))
    return "\n".join(out)


def write(path, panels):
    with open(path, "w", encoding="utf-8") as file:
        file.write('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
                   'font-family="sans-serif" fill="#222222">\n'
                   '<rect width="100%%" height="100%%" fill="#ffffff"/>\n'
                   % (WIDTH * len(panels), HEIGHT))
        for i, each in enumerate(panels):
            file.write('<g transform="translate(%d 0)">\n%s\n</g>\n' % (WIDTH * i, each))
        file.write("</svg>\n")
