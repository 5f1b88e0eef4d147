import type { ComponentType, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ApiError } from '../api.ts';
import { toProblem } from '../use-answer.ts';
import { Loading, Problem } from './problem.tsx';

/** Returns a component whose code is loaded when it is first shown. */
export function lazy<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  return function Lazy(props: Props): VNode {
    const [Loaded, setLoaded] = useState<ComponentType<Props> | undefined>(undefined);
    const [problem, setProblem] = useState<ApiError | undefined>(undefined);
    useEffect(() => {
      load().then(
        (component) => setLoaded(() => component),
        (error: unknown) => setProblem(toProblem(error)),
      );
    }, []);
    // After an update of the registry, an open page requests files that no longer exist.
    if (problem !== undefined)
      return <Problem error={problem} what="A part of the page could not be loaded" retry={() => location.reload()} />;
    return Loaded === undefined ? <Loading /> : <Loaded {...props} />;
  };
}
