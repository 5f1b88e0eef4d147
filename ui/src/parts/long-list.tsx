import type { VNode } from 'preact';
import { maxItems } from '../api.ts';
import { formatNumber } from '../format.ts';
import { Icon } from './icon.tsx';

/** Says that a list is longer than what the page shows of it. */
export function LongList({ what }: { readonly what: string }): VNode {
  return (
    <div class="note">
      <Icon name="warning" />
      <div>
        These are the first {formatNumber(maxItems)} {what}, in the order of the registry. The filter asks the registry
        for the others.
      </div>
    </div>
  );
}
