import type { LiveOptions } from '../options/live-options.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { HookGate } from '../ports/hooks.js';
import { HostHooks, type HostHooksParts } from '../repositories/hooks/host-hooks.js';

/** Creates the gate that calls the hooks in the current options. */
export function openHooks(live: LiveOptions, parts: Omit<HostHooksParts, 'hooks'>): HookGate {
  return new HostHooks({ ...parts, hooks: () => live.current.hooks });
}

/**
 * Keeps the hooks of a running registry where a reload does not mention them: options that come from a file have none, and a
 * policy must not end unnoticed. `hooks: {}` removes them.
 */
export function keepHooks(next: ResolvedOptions, { hooks }: ResolvedOptions): ResolvedOptions {
  return next.hooks === undefined && hooks !== undefined ? { ...next, hooks } : next;
}
