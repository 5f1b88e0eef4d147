import { z } from 'zod';

/** Faults of one document that are named: after so many the rest is not checked. */
const maxFaults = 5;
/** Layers of an image, or entries of an index: a hundred times what images have, and more than clients fit into 4 MiB with annotations. */
export const maxDescriptors = 10_000;

/**
 * A list whose items are checked one after the other, and no further than the first few faulty ones: zod itself makes an
 * issue of every fault there is. Programs written in Go may write an empty list as null.
 */
export function listOf<T>(item: z.ZodType<T>, maxItems = maxDescriptors) {
  return z
    .custom<readonly unknown[] | null>((value) => value === null || Array.isArray(value), 'must be a list')
    .transform((values, context): T[] => {
      const items: T[] = [];
      if ((values?.length ?? 0) > maxItems) {
        context.addIssue({ code: 'custom', message: `has ${values?.length} items: at most ${maxItems} are accepted` });
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
          context.addIssue({ code: 'custom', path: [index, ...path], message });
        }
        if (++faults === maxFaults) return z.NEVER;
      }
      return items;
    });
}

/** A list of texts: one fault, whatever the number of items. */
export const textsSchema = z.custom<string[]>(
  (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  'must be a list of strings',
);

/** An object of texts, as annotations are: one fault, whatever the number of entries. */
export const textRecordSchema = z.custom<Record<string, string>>(isTextRecord, 'must be an object of strings');

export function isTextRecord(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === 'string');
}
