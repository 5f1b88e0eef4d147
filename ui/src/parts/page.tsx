import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { path } from '../location.ts';
import { isolate } from './isolate.tsx';

/** A view: its title, which gets the focus when the path changes, actions beside it, and its content. */
export function Page({
  title,
  heading,
  actions,
  children,
}: {
  /** The title of the window. */
  readonly title: string;
  /** @default the title */
  readonly heading?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}): VNode {
  const place = path.value;
  useTitle(title, place);
  return (
    <>
      <div class="page-head">
        <h1 tabIndex={-1}>{heading ?? title}</h1>
        {actions === undefined ? undefined : <div class="actions">{actions}</div>}
      </div>
      {children}
    </>
  );
}

/** Sets the title, and moves the focus to the heading when another view opens, but not when the page was just loaded. */
function useTitle(title: string, place: string): void {
  useEffect(() => {
    document.title = `${title} · artifactapi`;
  }, [title]);
  const before = useRef(place);
  useEffect(() => {
    const heading = document.querySelector<HTMLElement>('h1');
    const isOther = before.current !== place || document.body.dataset['isLoaded'] === 'true';
    before.current = place;
    if (isOther) {
      heading?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    document.body.dataset['isLoaded'] = 'true';
  }, [place]);
}

/** Tabs of a view. Each is a link, so that it can be shared and opened in a new window. */
export function Tabs({
  label,
  tabs,
  current,
}: {
  readonly label: string;
  readonly tabs: readonly { readonly key: string; readonly title: ComponentChildren; readonly href: string }[];
  readonly current: string;
}): VNode {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map(({ key, title, href }) => (
        <a key={key} href={href} {...(key === current ? { 'aria-current': 'page' as const } : {})}>
          {title}
        </a>
      ))}
    </nav>
  );
}

/** A heading with the content below it. */
export function Section({
  title,
  actions,
  children,
}: {
  readonly title: string;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}): VNode {
  return (
    <section>
      <div class="section-head">
        <h2>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  );
}

/** Facts with their names. Omits facts without a value. */
export function Facts({
  facts,
}: {
  readonly facts: readonly (readonly [name: string, value: ComponentChildren])[];
}): VNode {
  const shown = facts.filter(([, value]) => value !== undefined && value !== '' && value !== null);
  return (
    <dl class="facts">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{isolate(name)}</dt>
          <dd>{isolate(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
