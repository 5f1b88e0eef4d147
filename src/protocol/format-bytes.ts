const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Returns a size for people: `1.5 GiB`. */
export function formatSize(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  // Two sizes that differ by a little should not look alike more often than needed.
  const digits = unit === 0 || Number.isInteger(value) ? 0 : value < 10 ? 2 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}
