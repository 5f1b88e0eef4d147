/** Units of durations, in seconds. */
export const secondsPerUnit: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 };

/** Units of sizes, in bytes. */
export const bytesPerUnit: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

const quantityPattern = /^([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]+)$/;

/** A number, or what is wrong with the text. */
export type Quantity = { readonly value: number } | { readonly problem: string };

/**
 * Converts a text with a unit to the number that the option with this name takes: `"5m"` to 300 for `…Seconds`, `"100GB"`
 * to 1e11 for `…Bytes`. Returns `undefined` for an option that is neither a duration nor a size.
 */
export function parseQuantity(option: string, text: string): Quantity | undefined {
  const isDuration = option.endsWith('Seconds');
  if (!isDuration && !/Bytes(?:PerSecond)?$/.test(option)) return undefined;
  const units = isDuration ? secondsPerUnit : bytesPerUnit;
  const [, amount, unit = ''] = quantityPattern.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (amount !== undefined && factor !== undefined) {
    const value = Number(amount) * factor;
    return { value: isDuration ? value : Math.round(value) };
  }
  const [what, example] = isDuration ? ['seconds', '"5m"'] : ['bytes', '"100GB"'];
  const accepted = Object.keys(units).join(', ');
  return {
    problem: `${JSON.stringify(text)} must be a number of ${what}, or a number with a unit (${accepted}): ${example}`,
  };
}
