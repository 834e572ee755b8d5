"""Tables, figures and the page of a speed benchmark's results folder."""
