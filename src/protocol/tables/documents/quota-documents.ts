import { z } from '../../zod.js';
import { describeProblems, strictOptions, type Problem } from '../../settings/option-schema.js';
import { findRepeatedQuotas, quotaSchema, type QuotaConfig } from '../../settings/quota-config.js';
import type { ProtectionDocument } from '../../documents/repositories.js';
import type { RetentionPolicy } from '../../settings/retention-config.js';
import { encodeDocument, problemsFound, toWireProblem } from './encoding.js';
import { mapKeys, toCamelCase } from '../spelling.js';

/** A quota as the API shows it. */
interface ShownQuota extends QuotaConfig {
  readonly name: string;
  readonly usedBytes: number;
  readonly origin: ProtectionDocument['quotas'][number]['origin'];
}

/** More managed quotas are refused: each write within several of them checks each. */
const maxQuotas = 1000;

/** Returns quotas as the API shows them. */
export function encodeQuotas(quotas: readonly ShownQuota[]): Pick<ProtectionDocument, 'quotas'> {
  return {
    quotas: quotas.map(({ name, names, maxBytes, usedBytes, origin }) => ({
      name,
      names,
      max_bytes: maxBytes,
      used_bytes: usedBytes,
      origin,
    })),
  };
}

/** Returns what limits and protects the images of a repository as the API shows it. */
export function encodeProtection(
  config: { readonly name: string; readonly immutableTags: readonly string[]; readonly mutableTags: readonly string[] },
  quotas: readonly ShownQuota[],
  policies: readonly RetentionPolicy[],
): ProtectionDocument {
  return {
    repository: config.name,
    immutable: { tags: config.immutableTags, except: config.mutableTags },
    ...encodeQuotas(quotas),
    // The cast: the same fields, spelled as in the API, which the compiler cannot see.
    retention: policies.map((policy) => encodeDocument(policy) as ProtectionDocument['retention'][number]),
  };
}

const documentSchema = strictOptions({
  quotas: z.array(quotaSchema).check(z.maxLength(maxQuotas, `must have at most ${maxQuotas} quotas`)),
});

/**
 * Decodes the document of all managed quotas. Ignores quotas of another origin and fields that only the API sets, so that
 * clients can read, edit and put back a document.
 * @throws RegistryError OPTIONS_INVALID with all problems.
 */
export function decodeQuotas(document: unknown): readonly QuotaConfig[] {
  const checked = documentSchema.safeParse(mapKeys(withoutShown(document), toCamelCase));
  const problems = checked.success
    ? findRepeatedQuotas(checked.data.quotas, 'quotas')
    : describeProblems(checked.error).map(toWireProblem);
  problems.push(...findCamelCase(document));
  if (checked.success && problems.length === 0) return checked.data.quotas;
  throw problemsFound(problems);
}

function withoutShown(document: unknown): unknown {
  const quotas = quotasIn(document);
  if (quotas === undefined) return document;
  const kept = quotas.filter((quota) => originOf(quota) === undefined || originOf(quota) === 'managed');
  return { ...(document as object), quotas: kept.map((quota) => (isObject(quota) ? settingsOf(quota) : quota)) };
}

function settingsOf({ name: _name, used_bytes: _used, origin: _origin, ...settings }: Record<string, unknown>): object {
  return settings;
}

/** `mapKeys` would accept the names of options beside those of the API. */
function findCamelCase(document: unknown): Problem[] {
  return (quotasIn(document) ?? []).flatMap((quota, i) =>
    isObject(quota) && 'maxBytes' in quota
      ? [{ path: `quotas[${i}].maxBytes`, problem: 'unknown option "maxBytes": did you mean "max_bytes"?' }]
      : [],
  );
}

function originOf(quota: unknown): unknown {
  return isObject(quota) ? quota['origin'] : undefined;
}

function quotasIn(document: unknown): readonly unknown[] | undefined {
  return isObject(document) && Array.isArray(document['quotas']) ? document['quotas'] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
