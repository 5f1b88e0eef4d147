import { signal } from '@preact/signals';
import type { VNode } from 'preact';

const message = signal('');

/** Shows a result as a short note on the screen, and announces it to screen readers. */
export function announce(text: string): void {
  // An equal text would not be read again.
  message.value = '';
  queueMicrotask(() => (message.value = text));
}

/** The region in which results are announced. */
export function StatusRegion(): VNode {
  return (
    <output class="status-region">
      {message.value === '' ? undefined : <p onAnimationEnd={() => (message.value = '')}>{message}</p>}
    </output>
  );
}
