import { signal } from '@preact/signals';
import type { SessionDocument } from '../../src/protocol/documents/session.js';
import { askLogin, get, send, type ApiError } from './api.ts';

/** The session of the page's user, once it is known. */
export const session = signal<SessionDocument | undefined>(undefined);

/** The reason why the session could not be read. */
export const sessionProblem = signal<ApiError | undefined>(undefined);

/** Settles an open login dialog with whether someone logged in; `undefined` when it is closed. */
export const loginDialog = signal<((isLoggedIn: boolean) => void) | undefined>(undefined);

/** Reads the session. */
export async function loadSession(): Promise<void> {
  try {
    session.value = await get<SessionDocument>('session');
    sessionProblem.value = undefined;
  } catch (error) {
    sessionProblem.value = error as ApiError;
  }
}

/** Logs in with a password or a token. @throws ApiError */
export async function logIn(username: string, password: string): Promise<void> {
  session.value = await send<SessionDocument>('POST', 'session', { username, password });
  loginDialog.value?.(true);
  loginDialog.value = undefined;
}

/** Ends the session. @throws ApiError */
export async function logOut(): Promise<void> {
  await send('DELETE', 'session');
  await loadSession();
}

/** Opens the login dialog. Resolves to whether someone logged in. All requests that need a login wait for the same dialog. */
export function askToLogIn(): Promise<boolean> {
  const open = loginDialog.value;
  return new Promise((resolve) => {
    loginDialog.value = (isLoggedIn) => {
      open?.(isLoggedIn);
      resolve(isLoggedIn);
    };
  });
}

/** Closes the login dialog. */
export function cancelLogin(): void {
  loginDialog.value?.(false);
  loginDialog.value = undefined;
}

askLogin.value = async () => {
  const { principal, login } = session.value ?? {};
  // A session that ended is still shown as logged in.
  if (principal?.via === 'host') return false;
  return login?.password === true ? askToLogIn() : false;
};
