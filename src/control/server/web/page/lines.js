// The lines of the graph, and what they leave of the window for its rows: gutters between shelves, and a margin at the left.

const LANE = 5;
// At both sides, for lines that leave a row and come into one.
export const MARGIN = 10;
const CORNER = 6;

export function groupBy(all, key) {
  const groups = new Map();
  for (const one of all) {
    const at = key(one);
    if (groups.has(at)) groups.get(at).push(one);
    else groups.set(at, [one]);
  }
  return groups;
}

// Lanes side by side, one for each bundle of edges.
class Lanes {
  bundles = new Map();

  of(bundle) {
    if (!this.bundles.has(bundle)) this.bundles.set(bundle, this.bundles.size);
    return this.bundles.get(bundle);
  }

  get width() {
    return Math.min(60, this.bundles.size * LANE);
  }

  at(bundle) {
    return (this.of(bundle) + 0.5) * (this.width / this.bundles.size);
  }
}

// Places and paths for shelves of rows.
export class Lines {
  constructor(shelves, edges, sizes) {
    [this.shelves, this.edges, this.sizes] = [shelves, edges, sizes];
    this.spots = new Map();
    for (const row of shelves.flatMap((shelf) => shelf.rows)) {
      row.columns.forEach((column, n) => column.nodes.forEach((node) => this.spots.set(node, { row, n })));
    }
    const inside = new Set(shelves.flatMap((shelf) => shelf.rows.flatMap((row) => row.edges)));
    this.routes = new Map();
    // Above each shelf, and below the last.
    this.gutters = Array.from({ length: shelves.length + 1 }, () => new Lanes());
    this.margin = new Lanes();
    const routed = edges.filter((edge) => !inside.has(edge));
    const [out, into] = [groupBy(routed, (edge) => edge.from), groupBy(routed, (edge) => edge.to)];
    for (const edge of routed) this.plan(edge, out.get(edge.from).length > 1 ? edge.from : into.get(edge.to).length > 1 ? edge.to : edge);
  }

  // Which gutters an edge goes through. Edges from one node, or else to one node, share their lanes.
  plan(edge, bundle) {
    const [from, to] = [this.spots.get(edge.from).row.shelf, this.spots.get(edge.to).row.shelf];
    const [first, last] = [from + 1, from === to ? from + 1 : to];
    this.gutters[first].of(bundle);
    if (first !== last) {
      this.gutters[last].of(bundle);
      this.margin.of(bundle);
    }
    this.routes.set(edge, { bundle, first, last });
  }

  get beside() {
    return this.margin.width && this.margin.width + LANE;
  }

  drawn() {
    const left = MARGIN + this.beside;
    let y = 4;
    this.gutterTops = this.gutters.map((gutter, n) => {
      const top = y;
      y += gutter.width + (gutter.width ? 12 : 0);
      // Shelves are apart even where nothing goes between them.
      if (n > 0 && n < this.shelves.length) y = Math.max(y, top + this.sizes.across) + (this.shelves[n].isApart ? this.sizes.across : 0);
      if (n < this.shelves.length) {
        this.shelves[n].top = y;
        y += this.shelves[n].height;
      }
      return top + 6;
    });
    const places = new Map();
    for (const { rows, top } of this.shelves) for (const row of rows) this.place(row, left + row.left, top, places);
    const paths = this.edges.map((edge) => {
      const isFar = this.routes.has(edge);
      return { isFar, path: isFar ? this.route(edge, places) : this.curve(edge, places) };
    });
    const width = left + MARGIN + Math.max(0, ...this.shelves.map((shelf) => shelf.width));
    return { places, paths, width, height: y + 4 };
  }

  place(row, left, top, places) {
    const unit = this.sizes.stage.height + this.sizes.across;
    row.middle = (across) => top + row.across.get(across) * unit + this.sizes.stage.height / 2;
    let x = left;
    for (const column of row.columns) {
      column.x = x;
      for (const node of column.nodes) {
        const size = this.sizes[node.kind];
        const y = row.middle(node.across);
        places.set(node.id, { left: x + (column.width - size.width) / 2, right: x + (column.width + size.width) / 2, middle: y, top: y - size.height / 2, width: size.width });
      }
      x += column.width + this.sizes.along;
    }
  }

  // Inside a row, straight on beside the nodes on its way.
  curve({ from, to, bends }, places) {
    const { row } = this.spots.get(from);
    const points = [[places.get(from.id).right, places.get(from.id).middle]];
    for (const bend of bends) {
      const column = row.columns.find(({ rank }) => rank === bend.along);
      if (column) points.push([column.x, row.middle(bend.across)], [column.x + column.width, row.middle(bend.across)]);
    }
    points.push([places.get(to.id).left - 3, places.get(to.id).middle]);
    let path = `M${points[0]}`;
    for (let i = 1; i < points.length; i += 1) {
      const [p, q] = [points[i - 1], points[i]];
      const middle = (p[0] + q[0]) / 2;
      path += `C${middle},${p[1]} ${middle},${q[1]} ${q}`;
    }
    return path;
  }

  // Out at the right, through gutters and, past other rows, the margin; in at the left.
  route(edge, places) {
    const { bundle, first, last } = this.routes.get(edge);
    const [from, to] = [places.get(edge.from.id), places.get(edge.to.id)];
    const gutter = (n) => this.gutterTops[n] + this.gutters[n].at(bundle);
    const column = ({ row, n }) => row.columns[n];
    const [a, b] = [column(this.spots.get(edge.from)), column(this.spots.get(edge.to))];
    const out = a.x + a.width + 4 + (this.gutters[first].of(bundle) % 2) * 3;
    const into = b.x - Math.min(9, this.sizes.along - 4);
    const points = [[from.right, from.middle], [out, from.middle], [out, gutter(first)]];
    if (first !== last) {
      const x = MARGIN / 2 + this.margin.at(bundle);
      points.push([x, gutter(first)], [x, gutter(last)]);
    }
    points.push([into, gutter(last)], [into, to.middle], [to.left - 3, to.middle]);
    return rounded(points);
  }
}

// A line with round corners.
function rounded(points) {
  let path = `M${points[0]}`;
  for (let i = 1; i < points.length - 1; i += 1) {
    const [before, at, after] = [points[i - 1], points[i], points[i + 1]];
    const near = (other) => {
      const length = Math.hypot(other[0] - at[0], other[1] - at[1]);
      const share = length ? Math.min(CORNER, length / 2) / length : 0;
      return [at[0] + (other[0] - at[0]) * share, at[1] + (other[1] - at[1]) * share];
    };
    path += `L${near(before)}Q${at} ${near(after)}`;
  }
  return `${path}L${points.at(-1)}`;
}
