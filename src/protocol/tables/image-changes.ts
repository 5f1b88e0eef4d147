import { z } from '../zod.js';
import type { DeletionDocument } from '../documents/images.js';
import { parseDigest, type Digest } from '../digest.js';
import { RegistryError } from '../errors.js';
import { parseReference, parseTag, type Reference, type Tag } from '../names.js';
import { describeProblems, strictOptions } from '../settings/option-schema.js';
import { encodeTime, problemsFound } from './documents/encoding.js';

/** Tags or digests of one request. */
const maxTargets = 1000;
/** Items of each list in an answer. `counts` has the numbers of all. */
const maxShown = 1000;

/** A schema of texts that `parse` understands. */
function parsed<T>(parse: (text: string) => T) {
  return z.pipe(
    z.string(),
    z.transform((text, context): T => {
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        context.issues.push({ code: 'custom', message: error.message, input: text });
        return z.NEVER;
      }
    }),
  );
}

const deletionSchema = strictOptions({
  tags: z._default(z.array(parsed(parseTag)).check(z.maxLength(maxTargets)), []),
  digests: z._default(z.array(parsed(parseDigest)).check(z.maxLength(maxTargets)), []),
  all: z._default(z.boolean(), false),
  dry_run: z._default(z.boolean(), false),
  override: z._default(z.boolean(), false),
}).check(
  z.superRefine(({ tags, digests, all }, context) => {
    const count = tags.length + digests.length;
    if (all && count > 0) {
      context.addIssue({ code: 'custom', path: ['all'], message: 'must not be combined with tags or digests' });
    } else if (!all && count === 0) {
      context.addIssue({ code: 'custom', path: ['tags'], message: 'name tags or digests, or set all' });
    }
  }),
);

const moveSchema = strictOptions({
  tag: parsed(parseTag),
  reference: parsed(parseReference),
  expected: z.optional(z.nullable(parsed(parseDigest))),
  override: z._default(z.boolean(), false),
});

/** The content of an image to delete. */
export interface DecodedDeletion {
  readonly request: {
    readonly tags: readonly Tag[];
    readonly digests: readonly Digest[];
    readonly all: boolean;
    readonly override: boolean;
  };
  readonly dryRun: boolean;
}

/** Decodes the document of a deletion. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeDeletion(document: unknown): DecodedDeletion {
  const { dry_run: dryRun, tags, digests, all, override } = decode(deletionSchema, document);
  return { request: { tags: [...new Set(tags)], digests: [...new Set(digests)], all, override }, dryRun };
}

/** The request to move a tag. */
export interface DecodedMove {
  readonly tag: Tag;
  readonly reference: Reference;
  readonly expected?: Digest | null | undefined;
  readonly override: boolean;
}

/** Decodes the document of a tag move. @throws RegistryError OPTIONS_INVALID with all problems. */
export function decodeTagMove(document: unknown): DecodedMove {
  return decode(moveSchema, document);
}

function decode<T>(schema: z.ZodMiniType<T>, document: unknown): T {
  const checked = schema.safeParse(document);
  if (!checked.success) throw problemsFound(describeProblems(checked.error));
  return checked.data;
}

interface Refused {
  readonly tag?: string;
  readonly digest?: string;
  readonly reason: 'unknown' | 'immutable' | 'moved' | 'busy' | 'member' | 'hook';
  readonly by?: string;
}

interface Report {
  readonly tags: readonly { readonly tag: string; readonly digest: string }[];
  readonly manifests: readonly { readonly digest: string; readonly mediaType: string; readonly size: number }[];
  readonly stays: readonly { readonly digest: string; readonly because: string; readonly by?: string }[];
  readonly refused: readonly Refused[];
  readonly freesBytes: number;
  readonly freesAt?: number;
}

/** Returns the report of a deletion as the API shows it. */
export function encodeDeletion(report: Report, dryRun: boolean): DeletionDocument {
  const { tags, manifests, stays, refused, freesBytes, freesAt } = report;
  const shownManifests = manifests
    .slice(0, maxShown)
    .map(({ digest, mediaType, size }) => ({ digest, media_type: mediaType, size_bytes: size }));
  return {
    dry_run: dryRun,
    tags: tags.slice(0, maxShown),
    manifests: shownManifests,
    stays: stays.slice(0, maxShown),
    refused: refused.slice(0, maxShown).map((one) => ({ ...one, message: explainRefusal(one) })),
    counts: { tags: tags.length, manifests: manifests.length, stays: stays.length, refused: refused.length },
    frees_bytes: freesBytes,
    frees_at: freesAt === undefined ? null : encodeTime(freesAt),
  };
}

function explainRefusal({ tag, digest, reason, by }: Refused): string {
  const what = tag === undefined ? digest : `tag "${tag}"`;
  const explanations: Readonly<Record<Refused['reason'], string>> = {
    unknown: 'does not exist',
    immutable: `is immutable (pattern "${by}")`,
    moved: `names ${digest} now`,
    member: `is in member "${by}": delete it there`,
    hook: `is kept by a hook: ${by}`,
    busy: 'keeps changing: try again',
  };
  return `${what} ${explanations[reason]}`;
}
