import type { ComponentChildren, VNode } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import { Icon } from './icon.tsx';
import { isolate } from './isolate.tsx';
import { ScrollRegion } from './scroll-region.tsx';
import { useWindowRows } from './window-rows.ts';

/** A column of a table. */
export interface Column<Row> {
  readonly key: string;
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** Compares two rows in ascending order. Absent: the table cannot be sorted by the column. */
  readonly compare?: (one: Row, other: Row) => number;
  /** Whether the first click sorts in descending order, as for sizes and times. */
  readonly isLargestFirst?: boolean;
  /** Whether numbers are at the right edge. */
  readonly isNumber?: boolean;
  /** Whether narrow screens do not show the column. */
  readonly isWide?: boolean;
  /** Whether long texts of the column wrap. */
  readonly isText?: boolean;
}

/** The rows that the user has chosen. */
interface Selection<Row> {
  readonly keys: ReadonlySet<string>;
  readonly onChange: (keys: ReadonlySet<string>) => void;
  readonly labelOf: (row: Row) => string;
}

interface Order {
  readonly key: string;
  readonly isDescending: boolean;
}

interface TableProps<Row> {
  /** The description of the table for screen readers. */
  readonly caption: string;
  readonly rows: readonly Row[];
  readonly columns: readonly Column<Row>[];
  readonly keyOf: (row: Row) => string;
  /** The column that heads each row. @default the first one */
  readonly heading?: string;
  readonly order?: Order;
  /** Absent: rows cannot be chosen. */
  readonly selection?: Selection<Row> | undefined;
}

/** Shows rows in a table that can be sorted. Renders only the rows of a long list that are near the screen. */
export function Table<Row>({
  caption,
  rows,
  columns,
  keyOf,
  heading,
  order: given,
  selection,
}: TableProps<Row>): VNode {
  const [chosen, setOrder] = useState<Order | undefined>(undefined);
  const order = chosen ?? given;
  const sorted = useMemo(() => sortRows(rows, columns, order), [rows, columns, order?.key, order?.isDescending]);
  const body = useRef<HTMLTableSectionElement>(null);
  const { indexes, before, after, measure } = useWindowRows(sorted.length, body);
  const choose = useChoice(sorted, keyOf, selection);
  return (
    <ScrollRegion label={caption}>
      <table aria-rowcount={sorted.length + 1}>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr aria-rowindex={1}>
            {selection === undefined ? undefined : <SelectAll rows={sorted} keyOf={keyOf} selection={selection} />}
            {columns.map((column) => (
              <HeadCell key={column.key} column={column} order={order} onSort={setOrder} />
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          <Spacer height={before} />
          {indexes.map((index) => {
            const row = sorted[index];
            if (row === undefined) return undefined;
            const key = keyOf(row);
            const isChosen = selection?.keys.has(key) === true;
            return (
              <tr key={key} ref={measure} data-index={index} aria-rowindex={index + 2} class={isChosen ? 'chosen' : ''}>
                {selection === undefined ? undefined : (
                  <td class="select">
                    <input
                      type="checkbox"
                      checked={isChosen}
                      aria-label={selection.labelOf(row)}
                      onClick={(event) => choose(index, event.currentTarget.checked, event.shiftKey)}
                    />
                  </td>
                )}
                {columns.map((column) => (
                  <BodyCell
                    key={column.key}
                    column={column}
                    row={row}
                    isHeading={column.key === (heading ?? columns[0]?.key)}
                  />
                ))}
              </tr>
            );
          })}
          <Spacer height={after} />
        </tbody>
      </table>
    </ScrollRegion>
  );
}

function sortRows<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  order: Order | undefined,
): readonly Row[] {
  const compare = columns.find(({ key }) => key === order?.key)?.compare;
  if (compare === undefined) return rows;
  const sorted = [...rows].sort(compare);
  return order?.isDescending === true ? sorted.toReversed() : sorted;
}

function classOf<Row>({ isNumber, isWide, isText }: Column<Row>): string {
  return [isNumber === true && 'right', isWide === true && 'wide-only', isText === true && 'text']
    .filter((name) => name !== false)
    .join(' ');
}

function HeadCell<Row>({
  column,
  order,
  onSort,
}: {
  readonly column: Column<Row>;
  readonly order: Order | undefined;
  readonly onSort: (order: Order) => void;
}): VNode {
  const { key, title, compare, isLargestFirst = false } = column;
  if (compare === undefined) {
    return (
      <th scope="col" class={classOf(column)}>
        {title}
      </th>
    );
  }
  const isSorted = order?.key === key;
  const isDescending = isSorted && order.isDescending;
  const state = isSorted ? (isDescending ? 'descending' : 'ascending') : undefined;
  return (
    <th scope="col" class={classOf(column)} {...(state === undefined ? {} : { 'aria-sort': state })}>
      <button
        type="button"
        class="sort"
        onClick={() => onSort({ key, isDescending: isSorted ? !isDescending : isLargestFirst })}
      >
        {title}
        <Icon name={isSorted ? (isDescending ? 'arrow-down' : 'arrow-up') : 'sort'} />
      </button>
    </th>
  );
}

function BodyCell<Row>({
  column,
  row,
  isHeading,
}: {
  readonly column: Column<Row>;
  readonly row: Row;
  readonly isHeading: boolean;
}): VNode {
  if (isHeading) {
    return (
      <th scope="row" class={classOf(column)}>
        {isolate(column.cell(row))}
      </th>
    );
  }
  return <td class={classOf(column)}>{isolate(column.cell(row))}</td>;
}

function Spacer({ height }: { readonly height: number }): VNode | null {
  return height <= 0 ? null : <tr aria-hidden class="spacer" style={{ height }} />;
}

function SelectAll<Row>({
  rows,
  keyOf,
  selection: { keys, onChange },
}: {
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly selection: Selection<Row>;
}): VNode {
  const shown = rows.map(keyOf);
  const chosen = shown.filter((key) => keys.has(key)).length;
  const isAll = chosen > 0 && chosen === shown.length;
  return (
    <th class="select">
      <input
        type="checkbox"
        aria-label="Select all"
        checked={isAll}
        indeterminate={chosen > 0 && !isAll}
        onClick={() => onChange(new Set(isAll ? [] : shown))}
      />
    </th>
  );
}

/** Returns what a click on a check box does. With Shift, it applies to all rows since the last click. */
function useChoice<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  selection: Selection<Row> | undefined,
): (index: number, isChosen: boolean, isRange: boolean) => void {
  const last = useRef<number | undefined>(undefined);
  return (index, isChosen, isRange) => {
    if (selection === undefined) return;
    const from = isRange ? (last.current ?? index) : index;
    const next = new Set(selection.keys);
    for (const row of rows.slice(Math.min(from, index), Math.max(from, index) + 1)) {
      if (isChosen) next.add(keyOf(row));
      else next.delete(keyOf(row));
    }
    last.current = index;
    selection.onChange(next);
  };
}
