import { deflateRawSync, inflateRawSync } from 'node:zlib';

/**
 * How many of a hundred rounds each kind gets. An archive takes as long as many requests, a broken upstream is asked again
 * after a pause, and a document is written durably when it is accepted.
 */
const shares = {
  'raw-requests': 40,
  scopes: 33,
  pipelines: 12,
  documents: 8,
  upstreams: 5,
  archives: 2,
} as const;

/** The name of a kind is the name of its test file. */
export type FuzzKindName = keyof typeof shares;

/** The options of `npm run fuzz`, or what suffices for every test run. */
export interface FuzzSettings {
  readonly rounds: number;
  readonly seed: number;
  /** An input to run in place of generated ones. */
  readonly replay: { readonly kind: string; readonly input: unknown } | undefined;
}

/** @throws Error for an invalid value. */
export function readFuzzSettings(env: NodeJS.ProcessEnv): FuzzSettings {
  const replay = env['FUZZ_REPLAY'];
  return {
    rounds: readCount('FUZZ_ROUNDS', env['FUZZ_ROUNDS'] ?? '2000'),
    seed: readCount('FUZZ_SEED', env['FUZZ_SEED'] ?? '1'),
    replay: replay === undefined ? undefined : parseReplay(replay),
  };
}

export function roundsOf(kind: FuzzKindName, { rounds }: FuzzSettings): number {
  return Math.ceil((rounds * shares[kind]) / 100);
}

/** The text that `--replay` takes. */
export function formatReplay(kind: FuzzKindName, input: unknown): string {
  return `${kind}:${deflateRawSync(JSON.stringify(input)).toString('base64url')}`;
}

function parseReplay(text: string): { kind: string; input: unknown } {
  const [kind = '', packed = ''] = text.split(':');
  return { kind, input: JSON.parse(inflateRawSync(Buffer.from(packed, 'base64url')).toString()) };
}

function readCount(name: string, text: string): number {
  if (/^[0-9]{1,10}$/.test(text)) return Number(text);
  throw new Error(`${name} must be a whole number`);
}
