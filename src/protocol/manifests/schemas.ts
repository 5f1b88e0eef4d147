import { z } from '../zod.js';

/** Invalid items that are reported. The check of a list stops after them. */
const maxFaults = 5;
/**
 * Layers of an image or entries of an index. This is a hundred times what images have, and more than fit into 4 MiB with
 * annotations.
 */
export const maxDescriptors = 10_000;

/**
 * Creates the schema of a list. It stops after the first few invalid items, whereas zod reports every issue. It accepts null
 * as an empty list, because Go programs write that.
 */
export function listOf<T>(item: z.ZodMiniType<T>, maxItems = maxDescriptors) {
  return z.pipe(
    z.custom<readonly unknown[] | null>((value) => value === null || Array.isArray(value), 'must be a list'),
    z.transform((values, context): T[] => {
      const items: T[] = [];
      if ((values?.length ?? 0) > maxItems) {
        const message = `has ${values?.length} items: at most ${maxItems} are accepted`;
        context.issues.push({ code: 'custom', message, input: values });
        return z.NEVER;
      }
      let faults = 0;
      for (const [index, value] of (values ?? []).entries()) {
        const checked = item.safeParse(value);
        if (checked.success) {
          items.push(checked.data);
          continue;
        }
        for (const { path, message } of checked.error.issues) {
          context.issues.push({ code: 'custom', path: [index, ...path], message, input: value });
        }
        if (++faults === maxFaults) return z.NEVER;
      }
      return items;
    }),
  );
}

/** A list of strings. Reports one issue, however many items are invalid. */
export const textsSchema = z.custom<string[]>(
  (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  'must be a list of strings',
);

/** An object with string values, such as annotations. Reports one issue, however many entries are invalid. */
export const textRecordSchema = z.custom<Record<string, string>>(isTextRecord, 'must be an object of strings');

/** Returns whether a value is an object with string values only. */
export function isTextRecord(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === 'string');
}
