const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Formats a number of bytes with three digits: `1.50 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** Formats a number with separators: `12,003`. */
export function formatNumber(value: number): string {
  return new Intl.NumberFormat('en').format(value);
}

/** Formats a number with its noun: `1 tag`, `1,204 tags`. */
export function count(value: number, one: string, many = `${one}s`): string {
  return `${formatNumber(value)} ${value === 1 ? one : many}`;
}

/** Formats a share between 0 and 1: `96.8 %`. */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(share >= 0.9995 || share === 0 ? 0 : 1)} %`;
}

const collator = new Intl.Collator('en', { numeric: true });

/** Compares texts in natural order: `1.9` before `1.10`. */
export function compareNaturally(one: string, other: string): number {
  return collator.compare(one, other);
}

const spans: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];

/** Formats a time in ms since the epoch relative to now: `2 minutes ago`, `in 3 days`. */
export function formatAgo(at: number, now: number): string {
  const seconds = (at - now) / 1000;
  const span = spans.find(([, length]) => Math.abs(seconds) >= length);
  if (span === undefined)
    return Math.abs(seconds) < 10 ? 'now' : seconds < 0 ? 'less than a minute ago' : 'in a moment';
  return new Intl.RelativeTimeFormat('en', { style: 'long' }).format(Math.trunc(seconds / span[1]), span[0]);
}

/** Formats a duration: `3 s`, `4 min`, `2 h`, `5 days`. */
export function formatDuration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Creates a test for a filter: a part of the text, or a pattern of the whole text with `*`. */
export function createFilter(text: string): (candidate: string) => boolean {
  const wanted = text.trim().toLowerCase();
  if (!wanted.includes('*')) return (candidate) => candidate.toLowerCase().includes(wanted);
  const pattern = wanted.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  const whole = new RegExp(`^${pattern.join('.*')}$`);
  return (candidate) => whole.test(candidate.toLowerCase());
}
