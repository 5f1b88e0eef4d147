import type { VNode } from 'preact';
import { maxItems } from '../api.ts';
import { formatNumber } from '../format.ts';
import { Icon } from './icon.tsx';

/** Explains that the page shows only the first part of a long list. */
export function LongList({ what }: { readonly what: string }): VNode {
  return (
    <div class="note">
      <Icon name="warning" />
      <div>
        These are the first {formatNumber(maxItems)} {what}, in the order of the registry. Use the filter to find the
        others.
      </div>
    </div>
  );
}
