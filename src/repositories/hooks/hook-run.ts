import type { HookOptions, HookPullDecision } from '../../ports/hooks.js';
import type { ImageKey } from '../../ports/metadata/images.js';
import type { Runtime } from '../../ports/runtime.js';
import { isDigest, type Digest } from '../../protocol/digest.js';
import { RegistryError } from '../../protocol/errors.js';

/** The name of a hook. */
export type HookName = Exclude<keyof HookOptions, 'timeoutSeconds'>;

const maxReasonLength = 1000;

/** One call of a hook. */
export interface HookCall {
  readonly name: HookName;
  readonly at: ImageKey;
  /** The image that the request names, for the error. */
  readonly requested: ImageKey;
  readonly timeoutSeconds: number;
  /** Whether the hook may serve another manifest. */
  readonly mayServe?: boolean;
}

/**
 * Calls a hook within its time limit. Returns the digest to serve instead, if any.
 * @throws RegistryError DENIED when it refuses; UNAVAILABLE when it throws, takes too long or returns something else.
 */
export async function callHook(
  { name, at, requested, timeoutSeconds, mayServe = false }: HookCall,
  { log }: Pick<Runtime, 'log'>,
  call: (signal: AbortSignal) => HookPullDecision | Promise<HookPullDecision>,
): Promise<Digest | undefined> {
  const detail = { name: `${requested.repository}/${requested.image}`, hook: name };
  const limit = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  try {
    const expired = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`the hook took longer than ${timeoutSeconds} s`));
        limit.abort();
      }, timeoutSeconds * 1000);
    });
    // Called in a promise, so that a hook that throws synchronously fails like one that rejects.
    const decision = await Promise.race([Promise.resolve(limit.signal).then(call), expired]);
    const { refuse, serve } = readDecision(decision, mayServe);
    if (refuse === undefined) return serve;
    throw new RegistryError('DENIED', { message: refuse, detail });
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'DENIED' && error.detail === detail) throw error;
    throw hookFailed({ name, at, requested }, { log }, error);
  } finally {
    clearTimeout(timer);
  }
}

/** Logs why a hook failed. Returns the error for the client, which does not say why. */
export function hookFailed(
  { name, at, requested }: Pick<HookCall, 'name' | 'at' | 'requested'>,
  { log }: Pick<Runtime, 'log'>,
  cause: unknown,
): RegistryError {
  log.error({ err: cause, hook: name, ...at }, 'hook failed');
  return new RegistryError('UNAVAILABLE', {
    message: `the hook ${name} of this registry failed, so the request is refused: try again later`,
    detail: { name: `${requested.repository}/${requested.image}`, hook: name },
    cause,
  });
}

/** Code without types may return anything. @throws TypeError for a value that is not a decision. */
function readDecision(decision: unknown, mayServe: boolean): { readonly refuse?: string; readonly serve?: Digest } {
  if (decision === undefined) return {};
  const { refuse, serve } = (decision ?? {}) as { readonly refuse?: unknown; readonly serve?: unknown };
  const isReason = typeof refuse === 'string' && refuse !== '' && refuse.length <= maxReasonLength;
  if (isReason && serve === undefined) return { refuse };
  if (mayServe && refuse === undefined && typeof serve === 'string' && isDigest(serve)) return { serve };
  const reason = `{ refuse } with a reason of 1 to ${maxReasonLength} characters`;
  throw new TypeError(`the hook must return nothing, ${reason}${mayServe ? ', or { serve: digest }' : ''}`);
}
