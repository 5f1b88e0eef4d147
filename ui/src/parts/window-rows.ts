import { observeWindowOffset, observeWindowRect, Virtualizer, windowScroll } from '@tanstack/virtual-core';
import type { RefObject } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

/** The rows of a list that are near the screen. */
export interface WindowRows {
  readonly indexes: readonly number[];
  /** The height of the rows before and after them, in px. */
  readonly before: number;
  readonly after: number;
  /** Records the real height of a row, which has its index in `data-index`. */
  readonly measure: (row: HTMLTableRowElement | null) => void;
}

const rowHeight = 37;
/** Shorter lists are rendered completely. */
const maxWholeRows = 100;

/** Renders only the rows near the screen. The page itself scrolls. */
export function useWindowRows(count: number, body: RefObject<HTMLElement>): WindowRows {
  const [, render] = useState(0);
  const margin = useRef(0);
  const options = {
    count,
    scrollMargin: margin.current,
    estimateSize: () => rowHeight,
    overscan: 8,
    getScrollElement: () => window,
    observeElementRect: observeWindowRect,
    observeElementOffset: observeWindowOffset,
    scrollToFn: windowScroll,
    initialOffset: () => window.scrollY,
    onChange: () => render((before) => before + 1),
  };
  const [virtualizer] = useState(() => new Virtualizer<Window, HTMLTableRowElement>(options));
  virtualizer.setOptions(options);
  // oxlint-disable no-underscore-dangle -- these are what the adapters of the library call
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => {
    const top = (body.current?.getBoundingClientRect().top ?? 0) + window.scrollY;
    if (Math.abs(top - margin.current) > 1) {
      margin.current = top;
      render((before) => before + 1);
    }
    virtualizer._willUpdate();
  });
  // oxlint-enable no-underscore-dangle
  if (count <= maxWholeRows) {
    return { indexes: Array.from({ length: count }, (_, index) => index), before: 0, after: 0, measure: () => {} };
  }
  const items = virtualizer.getVirtualItems();
  const [first] = items;
  const last = items.at(-1);
  return {
    indexes: items.map(({ index }) => index),
    before: first === undefined ? 0 : first.start - margin.current,
    after: last === undefined ? 0 : virtualizer.getTotalSize() - (last.end - margin.current),
    measure: virtualizer.measureElement,
  };
}
