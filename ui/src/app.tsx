import type { ComponentType, VNode } from 'preact';
import { path, query } from './location.ts';
import { lazy } from './parts/lazy.tsx';
import { Page } from './parts/page.tsx';
import { Loading, Problem } from './parts/problem.tsx';
import { loadSession, session, sessionProblem } from './session.ts';
import { Shell } from './shell.tsx';

/** The parts of the address that a view uses. */
export interface ViewProps {
  /** The parts of the path after the name of the view. */
  readonly rest: readonly string[];
  readonly query: URLSearchParams;
}

/** The views by the first part of their paths. The code of each is loaded when it is opened. */
const views: Readonly<Record<string, ComponentType<ViewProps>>> = {
  '': lazy(() => import('./views/overview/overview.tsx').then(({ Overview }) => Overview)),
  repositories: lazy(() => import('./views/repositories/repositories.tsx').then(({ Repositories }) => Repositories)),
  images: lazy(() => import('./views/images/images.tsx').then(({ Images }) => Images)),
  activity: lazy(() => import('./views/activity/activity.tsx').then(({ Activity }) => Activity)),
  upload: lazy(() => import('./views/images/upload.tsx').then(({ Upload }) => Upload)),
  connect: lazy(() => import('./views/connect/connect.tsx').then(({ Connect }) => Connect)),
  jobs: lazy(() => import('./views/jobs/jobs.tsx').then(({ Jobs }) => Jobs)),
  caches: lazy(() => import('./views/caches/caches.tsx').then(({ Caches }) => Caches)),
  login: lazy(() => import('./views/access/login-problem.tsx').then(({ LoginProblem }) => LoginProblem)),
  account: lazy(() => import('./views/access/my-account.tsx').then(({ MyAccount }) => MyAccount)),
  access: lazy(() => import('./views/access/access.tsx').then(({ Access }) => Access)),
};

/** The whole page. */
export function App(): VNode {
  return (
    <Shell>
      <View />
    </Shell>
  );
}

function View(): VNode {
  const problem = sessionProblem.value;
  if (problem !== undefined && session.value === undefined) {
    return <Problem error={problem} what="The registry could not be reached" retry={() => void loadSession()} />;
  }
  if (session.value === undefined) return <Loading />;
  const [name = '', ...rest] = path.value.slice(1).split('/');
  const Found = Object.hasOwn(views, name) ? views[name] : undefined;
  if (Found === undefined) {
    return (
      <Page title="Not found">
        <p>
          The page <code>{path}</code> was not found. <a href="#/">Go to the overview</a>.
        </p>
      </Page>
    );
  }
  return <Found rest={rest.filter((part) => part !== '')} query={query.value} />;
}
