import type { ComponentChildren, VNode } from 'preact';
import { Fragment } from 'preact';

/**
 * Returns a text as an element with its own direction: texts of images, users and upstreams may be in any script, and may
 * contain marks that change the direction of the following text. Long names can break after their separators. Returns
 * values that are not texts unchanged.
 */
export function isolate(content: ComponentChildren): ComponentChildren {
  return typeof content === 'string' ? <bdi>{breakable(content)}</bdi> : content;
}

/** Shorter texts stay in one line. */
const maxUnbroken = 16;
/** A separator with what precedes it, or a part of a text without separators, such as a digest. */
const pieces = /[^\s/.:@=&?,_-]{1,16}[/.:@=&?,_-]?|[\s/.:@=&?,_-]/gu;

function breakable(text: string): ComponentChildren {
  if (text.length <= maxUnbroken) return text;
  const parts = text.match(pieces) ?? [text];
  return parts.map((part, index): VNode => (
    <Fragment key={index}>
      {index === 0 ? undefined : <wbr />}
      {part}
    </Fragment>
  ));
}
