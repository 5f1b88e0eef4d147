/** What `npm run fuzz` was told, or what is enough for every day. */
export interface FuzzSettings {
  readonly rounds: number;
  readonly seed: number;
  /** The bytes of one case, in place of made ones. */
  readonly replay: string | undefined;
}

/** @throws Error for what is no number. */
export function readFuzzSettings(env: NodeJS.ProcessEnv): FuzzSettings {
  const replay = env['FUZZ_REPLAY'];
  return {
    rounds: readCount('FUZZ_ROUNDS', env['FUZZ_ROUNDS'] ?? '1500'),
    seed: readCount('FUZZ_SEED', env['FUZZ_SEED'] ?? '1'),
    replay: replay === undefined ? undefined : Buffer.from(replay, 'base64').toString('latin1'),
  };
}

function readCount(name: string, text: string): number {
  if (/^[0-9]{1,10}$/.test(text)) return Number(text);
  throw new Error(`${name} must be a whole number`);
}
