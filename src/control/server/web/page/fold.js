// Where the nodes of the graph stand in a window of some width. The flow goes from left to right, and continues in the next row
// like a line of text; many branches beside each other are packed into rows, too. Pure: it knows sizes, and no elements.
//
// A row holds neighbouring ranks of one part of the graph. Edges inside a row are curves; all others leave it at the right, and
// go through the gutters between rows and the margin at the left.
import { Lines, MARGIN, groupBy } from "./lines.js";

// With more nodes than these in a rank, its branches are laid out one by one.
const WIDE_RANK = 10;
const BETWEEN_PARTS = 26;

const nodeId = (kind, name) => `${kind}/${name}`;

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
