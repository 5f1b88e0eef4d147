import { signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { formatAgo, formatBytes } from '../format.ts';
import { announce } from './status.tsx';
import { Icon } from './icon.tsx';

/** The time, renewed each half minute for relative times. */
const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 30_000);

/** Shows a number of bytes. */
export function Bytes({ value }: { readonly value: number }): VNode {
  return (
    <span class="number" title={`${value} bytes`}>
      {formatBytes(value)}
    </span>
  );
}

/** Shows a time relative to now, with the exact time as a tooltip. */
export function When({
  at,
  never = 'never',
}: {
  readonly at: string | null | undefined;
  readonly never?: string;
}): VNode {
  if (at === null || at === undefined) return <span class="faint">{never}</span>;
  const exact = new Date(at);
  return (
    <time dateTime={at} title={exact.toLocaleString()}>
      {formatAgo(exact.getTime(), now.value)}
    </time>
  );
}

/** Shows the start of a digest, which can be copied as a whole. */
export function Digest({ value, href }: { readonly value: string; readonly href?: string | undefined }): VNode {
  const short = value.replace(/^[^:]*:/, '').slice(0, 12);
  return (
    <span class="digest">
      {href === undefined ? (
        <code title={value}>{short}</code>
      ) : (
        <a class="code" href={href} title={value}>
          {short}
        </a>
      )}
      <Copy text={value} label={`Copy digest ${short}`} />
    </span>
  );
}

/** A button that copies a text. */
export function Copy({ text, label = 'Copy' }: { readonly text: string; readonly label?: string }): VNode {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    if (!(await writeClipboard(text))) return announce('The text could not be copied');
    announce('Copied');
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <button type="button" class="icon-button copy" aria-label={label} title={label} onClick={() => void copy()}>
      <Icon name={isCopied ? 'check' : 'copy'} />
    </button>
  );
}

/** Shows a line of code that can be copied. */
export function CopyLine({ text, label = 'Copy line' }: { readonly text: string; readonly label?: string }): VNode {
  return (
    <div class="copy-line">
      <code>{text}</code>
      <Copy text={text} label={label} />
    </div>
  );
}

/** Browsers offer the clipboard only over https and on loopback; elsewhere, the old command still works. */
async function writeClipboard(text: string): Promise<boolean> {
  if ('clipboard' in navigator) {
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  }
  const area = document.createElement('textarea');
  area.value = text;
  // In an open dialog, elements outside of it cannot be selected.
  const parent = document.activeElement?.closest('dialog') ?? document.body;
  parent.append(area);
  area.select();
  const isDone = document.execCommand('copy');
  area.remove();
  return isDone;
}
