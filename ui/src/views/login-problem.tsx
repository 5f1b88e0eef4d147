import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import type { ViewProps } from '../app.tsx';
import { go } from '../location.ts';
import { Page } from '../parts/page.tsx';
import { askToLogIn, session } from '../session.ts';

/** What the registry reports after a login at a provider failed. */
const texts: Readonly<Record<string, string>> = {
  again: 'The login took too long, or began in another window. Log in again.',
  name: 'A user of this registry has this name already. Ask an administrator.',
  email: 'The provider has not verified your e-mail address.',
  claims: 'This registry does not accept your account at the provider. Ask an administrator.',
  unavailable: 'The provider does not answer. Try again later.',
};

/** Says why a login at a provider failed, until someone is logged in. */
export function LoginProblem({ query }: ViewProps): VNode {
  const text =
    texts[query.get('problem') ?? ''] ?? 'The provider did not log you in, or the registry refused its answer.';
  const isLoggedIn = (session.value?.principal ?? null) !== null;
  useEffect(() => {
    if (isLoggedIn) go('/');
  }, [isLoggedIn]);
  return (
    <Page title="You are not logged in">
      <p>{text}</p>
      {session.value?.principal === null ? (
        <button type="button" class="primary" onClick={() => void askToLogIn()}>
          Log in
        </button>
      ) : (
        <p>
          <a href="#/">Go to the overview</a>
        </p>
      )}
    </Page>
  );
}
