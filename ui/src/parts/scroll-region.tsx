import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/**
 * Lets content that is wider than the window scroll by itself. While it does, it can be reached with the keyboard and has a
 * name.
 */
export function ScrollRegion({
  label,
  children,
}: {
  readonly label: string;
  readonly children: ComponentChildren;
}): VNode {
  const region = useRef<HTMLDivElement>(null);
  const [isScrolling, setScrolling] = useState(false);
  useEffect(() => {
    const { current } = region;
    if (current === null) return undefined;
    const observer = new ResizeObserver(() => setScrolling(current.scrollWidth > current.clientWidth));
    for (const element of [current, ...current.children]) observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const named = isScrolling ? { role: 'region' as const, 'aria-label': label, tabIndex: 0 } : {};
  return (
    <div ref={region} class="scroll-region" {...named}>
      {children}
    </div>
  );
}
