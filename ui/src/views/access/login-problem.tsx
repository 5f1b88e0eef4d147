import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import type { ViewProps } from '../../app.tsx';
import { go } from '../../location.ts';
import { textOfLoginProblem } from './login-problems.ts';
import { Page } from '../../parts/page.tsx';
import { askToLogIn, session } from '../../session.ts';

/** Says why a login at a provider failed, until someone is logged in. */
export function LoginProblem({ query }: ViewProps): VNode {
  const text = textOfLoginProblem(query.get('problem'));
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
