// Where the nodes of the graph stand in a window of some width. The flow goes from left to right, and continues in the next row
// like a line of text; many branches beside each other are packed into rows, too. Pure: it knows sizes, and no elements.
//
// A row holds neighbouring ranks of one part of the graph. Edges inside a row are curves; all others leave it at the right, and
// go through the gutters between rows and the margin at the left.

// With more nodes than these in a rank, its branches are laid out one by one.
const WIDE_RANK = 10;
const LANE = 5;
// At both sides, for lines that leave a row and come into one.
export const MARGIN = 10;
const BETWEEN_PARTS = 26;
const CORNER = 6;

function groupBy(all, key) {
  const groups = new Map();
  for (const one of all) {
    const at = key(one);
    if (groups.has(at)) groups.get(at).push(one);
    else groups.set(at, [one]);
  }
  return groups;
}

export const nodeId = (kind, name) => `${kind}/${name}`;

// The parts of a layout, in the order of the flow.
export function partsOf(layout) {
  const nodes = new Map();
  for (const [kind, all] of [["stage", layout.stages], ["queue", layout.queues]]) {
    for (const node of all) nodes.set(nodeId(kind, node.name), { id: nodeId(kind, node.name), kind, ...node });
  }
  const edges = layout.edges.map((edge) => {
    const [stage, queue] = [nodes.get(nodeId("stage", edge.stage)), nodes.get(nodeId("queue", edge.queue))];
    const [from, to] = edge.reads ? [queue, stage] : [stage, queue];
    return { from, to, bends: edge.bends };
  });
  return { edges, groups: joined([...nodes.values()], edges).map((component) => split(component, edges)) };
}

// Sets of nodes that edges join, in the order of their first nodes.
function joined(nodes, edges) {
  const inside = new Set(nodes);
  const head = new Map(nodes.map((node) => [node, node]));
  const find = (node) => {
    while (head.get(node) !== node) {
      head.set(node, head.get(head.get(node)));
      node = head.get(node);
    }
    return node;
  };
  for (const { from, to } of edges) if (inside.has(from) && inside.has(to)) head.set(find(to), find(from));
  return [...groupBy(nodes, find).values()].map((set) => set.sort((a, b) => a.along - b.along || a.across - b.across));
}

// Ranks with few nodes stay together; the branches of ranks with many are parts of their own.
function split(component, edges) {
  const ranks = [...groupBy(component, (node) => node.along)].sort(([a], [b]) => a - b);
  const runs = [];
  for (const [, nodes] of ranks) {
    const isWide = nodes.length > WIDE_RANK;
    if (runs.at(-1)?.isWide !== isWide) runs.push({ isWide, nodes: [] });
    runs.at(-1).nodes.push(...nodes);
  }
  return runs.map(({ isWide, nodes }) => (isWide ? joined(nodes, edges).sort(([a], [b]) => a.across - b.across) : [nodes]));
}

// `sizes`: width and height of a stage and a queue, and the gaps along and across the flow.
export function fold(parts, width, sizes) {
  // Lines in the margin take their room from the rows; shorter rows may have more of them.
  let [lines, beside] = [null, 0];
  do {
    beside = lines?.beside ?? 0;
    const room = width - 2 * MARGIN - beside;
    lines = new Lines(shelved(parts, room, sizes), parts.edges, sizes);
  } while (lines.beside > beside);
  return lines.drawn();
}

function shelved({ groups, edges }, room, sizes) {
  const shelves = new Shelves(room);
  for (const runs of groups) {
    for (const parts of runs) {
      // Only what is a whole of its own, or a branch, may stand beside another part.
      const isWhole = runs.length === 1 && parts.length === 1;
      if (!isWhole) shelves.close();
      for (const part of parts) shelves.put(rowsOf(part, edges, room, sizes).map((columns) => new Row(columns, edges, sizes)));
      if (!isWhole) shelves.close();
    }
    shelves.isApart = true;
  }
  return shelves.all;
}

// How wide the widest part is in one row.
export function widest({ groups }, sizes) {
  return Math.max(0, ...groups.flat(2).map((part) => widthOf(columnsOf(part, sizes), sizes)));
}

const widthOf = (columns, { along }) => columns.reduce((sum, column) => sum + column.width + along, -along);

function columnsOf(part, sizes) {
  return [...groupBy(part, (node) => node.along)].map(([rank, nodes]) => ({ rank, nodes, width: Math.max(...nodes.map((node) => sizes[node.kind].width)) }));
}

function rowsOf(part, edges, room, sizes) {
  const rows = [[]];
  const nodes = new Set(part);
  const inside = edges.filter(({ from, to }) => nodes.has(from) && nodes.has(to));
  for (const column of columnsOf(part, sizes)) {
    const row = rows.at(-1);
    const fits = (columns) => widthOf(columns, sizes) <= room;
    if (row.length && !fits([...row, column])) {
      const canMove = row.length > 1 && fits([row.at(-1), column]);
      rows.push(row.splice(canMove ? breakOf([...row, column], inside) : row.length));
    }
    rows.at(-1).push(column);
  }
  return rows;
}

// Where a row of columns ends, of which the last has no room: before that one or the one before it, where fewer lines go on.
// Rows begin with stages where they can.
function breakOf(columns, edges) {
  const cost = (at) => {
    const { rank, nodes } = columns[at];
    const over = edges.filter(({ from, to }) => from.along < rank && rank <= to.along);
    const lines = Math.min(new Set(over.map((edge) => edge.from)).size, new Set(over.map((edge) => edge.to)).size);
    return lines + (nodes.some((node) => node.kind === "stage") ? 0 : 0.5);
  };
  const last = columns.length - 1;
  return cost(last - 1) < cost(last) ? last - 1 : last;
}

class Row {
  constructor(columns, edges, sizes) {
    this.columns = columns;
    this.width = widthOf(columns, sizes);
    const inside = new Set(columns.flatMap((column) => column.nodes));
    this.edges = edges.filter(({ from, to }) => inside.has(from) && inside.has(to) && from.along < to.along);
    const points = [...inside, ...this.edges.flatMap((edge) => edge.bends)];
    const values = [...new Set(points.map((point) => point.across))].sort((a, b) => a - b);
    // What stood between has gone to other rows.
    let [last, at] = [values[0], 0];
    this.across = new Map(values.map((value) => {
      at += Math.min(1, value - last);
      last = value;
      return [value, at];
    }));
    this.height = at * (sizes.stage.height + sizes.across) + sizes.stage.height;
  }
}

// Rows one below the other; small parts beside each other.
class Shelves {
  constructor(room) {
    this.room = room;
    this.all = [];
    this.isOpen = false;
    this.isApart = false;
  }

  close() {
    this.isOpen = false;
  }

  put(rows) {
    const last = this.all.at(-1);
    const isSmall = rows.length === 1;
    if (isSmall && this.isOpen && last.width + BETWEEN_PARTS + rows[0].width <= this.room) return this.add(last, rows[0]);
    for (const row of rows) {
      this.all.push({ rows: [], width: -BETWEEN_PARTS, height: 0, isApart: this.isApart && !this.isOpen });
      this.isApart = false;
      this.add(this.all.at(-1), row);
    }
    this.isOpen = isSmall;
  }

  add(shelf, row) {
    row.left = shelf.width + BETWEEN_PARTS;
    row.shelf = this.all.indexOf(shelf);
    shelf.rows.push(row);
    shelf.width = row.left + row.width;
    shelf.height = Math.max(shelf.height, row.height);
  }
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

class Lines {
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
