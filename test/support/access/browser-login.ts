import { expect } from 'vitest';
import type { SessionDocument } from '../../../src/protocol/documents/session.js';
import type { Answer } from '../clients/client.js';
import type { AccessScene } from './access.js';

/** The path at which a browser begins to log in with the provider `acme`. */
export const loginPlace = '/api/v1/session/oidc/acme';

/** A browser on its way: the callback that the provider sent it to, and the cookie of the flow. */
export interface Flow {
  readonly callback: string;
  readonly cookie: string;
}

/** Begins a login, and lets the provider answer. */
export async function beginLogin(scene: AccessScene): Promise<Flow> {
  const begun = await scene.ask('GET', loginPlace);
  expect(begun.status, begun.body.toString()).toBe(302);
  const answer = await fetch(begun.header('location'), { redirect: 'manual' });
  expect(answer.status).toBe(302);
  const callback = new URL(answer.headers.get('location') ?? '');
  expect(`${callback.origin}${callback.pathname}`).toBe(`${scene.server.url}${loginPlace}/callback`);
  return { callback: callback.pathname + callback.search, cookie: cookiesOf(begun)[0] ?? '' };
}

/** Brings the answer of the provider to the registry. */
export function finishLogin(scene: AccessScene, { callback, cookie }: Flow): Promise<Answer> {
  return scene.ask('GET', callback, { headers: cookie === '' ? {} : { Cookie: cookie } });
}

/** Returns the cookie of the session that an answer starts; an empty text if there is none. */
export function sessionIn(answer: Answer): string {
  return cookiesOf(answer).find((cookie) => cookie.includes('=aas_')) ?? '';
}

/** Returns what the API says about the user with a cookie. */
export async function readSession(scene: AccessScene, cookie: string): Promise<SessionDocument> {
  return (await scene.ask('GET', '/api/v1/session', { headers: { Cookie: cookie } })).json() as SessionDocument;
}

function cookiesOf(answer: Answer): string[] {
  return [answer.headers['set-cookie'] ?? []].flat().map((cookie) => cookie.split(';')[0] ?? '');
}
