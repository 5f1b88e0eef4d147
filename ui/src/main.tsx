import { render } from 'preact';
import { App } from './app.tsx';
import { loadSession } from './session.ts';
import { applyTheme } from './theme.ts';
import './styles.css';

const root = document.getElementById('app');
applyTheme();
void loadSession();
if (root !== null) render(<App />, root);
